import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const PAGES = ['README.md', 'CONTRIBUTING.md', 'examples/README.md'].concat(
  readdirSync('docs', { encoding: 'utf8', recursive: true })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
);

describe('links of the documentation', () => {
  for (const page of PAGES) {
    it(`${page} leads to what is there`, () => {
      for (const [, target = ''] of readFileSync(page, 'utf8').matchAll(/\]\(([^)]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        const path = target.replace(/#.*$/, '');
        assert.ok(existsSync(join(dirname(page), path)), `${page}: ${target}`);
      }
    });
  }
});

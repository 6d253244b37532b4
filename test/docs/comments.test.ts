import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const FOLDERS = ['src', 'bench', 'tools', 'test'];
const COMMENT = /\/\*[\s\S]*?\*\/|(?:^|\s)\/\/.*$/gm;
/** A name of a source file, alone or with folders before it. */
const NAMED = /(?<![\w./*-])(?:\.{1,2}\/)*([a-z0-9][\w-]*(?:[./][\w-]+)*\.m?ts)\b(?!\.)/g;

describe('comments', () => {
  const files = FOLDERS.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file)),
  ).filter((file) => /\.(ts|c)$/.test(file));

  it('name source files that exist', () => {
    const known = files.map((file) => `/${file}`);
    const wrong: string[] = [];
    for (const file of files) {
      const text = readFileSync(file, 'utf8');
      for (const [comment] of text.matchAll(COMMENT)) {
        for (const [, name = ''] of comment.matchAll(NAMED)) {
          if (!known.some((path) => path.endsWith(`/${name}`))) wrong.push(`${file}: ${name}`);
        }
      }
    }
    assert.deepEqual(wrong, []);
  });
});

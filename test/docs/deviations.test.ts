import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';

const PAGE = 'docs/deviations.md';
const COLUMNS = 5;

/** The table's rows, as cells. */
function rows(): string[][] {
  const lines = readFileSync(PAGE, 'utf8').split('\n');
  const table = lines.filter((line) => line.startsWith('|')).slice(2);
  return table.map((line) => line.slice(1, line.lastIndexOf('|')).split('|'));
}

/** The titles of a file's tests; what a template fills in is any text. */
function titlesOf(file: string): RegExp[] {
  const text = readFileSync(file, 'utf8');
  const titles = text.matchAll(/\bit\(\s*(?:'((?:[^'\\]|\\.)*)'|"([^"]*)"|`([^`]*)`)/g);
  return [...titles].map(([, single, double, template]) => {
    const literal = (single ?? double ?? template ?? '').replaceAll("\\'", "'");
    const parts = template === undefined ? [literal] : literal.split(/\$\{[^}]*\}/);
    const escaped = parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    return new RegExp(`^${escaped.join('.+')}$`);
  });
}

describe(PAGE, () => {
  it('has rows', () => {
    assert.ok(rows().length > 10);
  });

  for (const cells of rows()) {
    const name = `${cells[0]?.trim()}: ${cells[2]?.trim().slice(0, 40)}`;
    it(`${name}: is shown by a test that exists`, () => {
      assert.equal(cells.length, COLUMNS, 'standard, it says, hawser does, why, shown by');
      for (const shown of cells[COLUMNS - 1]?.split(';') ?? []) {
        const [, file, title] = /^\s*`(test\/[^`]+)`: (.+?)\s*$/.exec(shown) ?? [];
        assert.ok(file !== undefined && title !== undefined, `not "\`file\`: title": ${shown}`);
        assert.ok(existsSync(file), `no file ${file}`);
        const isThere = titlesOf(file).some((known) => known.test(title));
        assert.ok(isThere, `${file} has no test "${title}"`);
      }
    });
  }
});

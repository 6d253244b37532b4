import assert from 'node:assert/strict';
import { LINES, LimitedLog, WINDOW_MS } from '../../src/base/limited-log.ts';
import { SILENT } from '../../src/base/log.ts';

describe('base/limited-log', () => {
  it('writes so many lines of a kind, then says how many it left out', () => {
    const lines: [object, string][] = [];
    let now = 0;
    const log = { ...SILENT, debug: (fields: object, text: string) => lines.push([fields, text]) };
    const limited = new LimitedLog<'dial' | 'dns'>(log, { now: () => now });
    for (let i = 0; i < LINES + 5; i++) limited.debug('dial', { i }, 'failed');
    assert.equal(lines.length, LINES);
    limited.debug('dns', {}, 'no such name');
    assert.equal(lines.length, LINES + 1, 'another kind has lines of its own');
    now = WINDOW_MS;
    limited.debug('dial', { i: 99 }, 'failed');
    limited.debug('dial', { i: 100 }, 'failed');
    assert.deepEqual(lines.slice(-2), [
      [{ i: 99, suppressed: 5 }, 'failed'],
      [{ i: 100 }, 'failed'],
    ]);
  });
});

import assert from 'node:assert/strict';
import { LINES, LimitedLog, MESSAGES_MAX, WINDOW_MS } from '../../src/base/limited-log.ts';
import type { Log } from '../../src/base/log.ts';

describe('base/limited-log', () => {
  let lines: [object, string][];
  let now: number;
  let limited: LimitedLog;
  beforeEach(() => {
    lines = [];
    now = 0;
    const write = (fields: object, text: string): void => {
      lines.push([fields, text]);
    };
    const log: Log = { debug: write, info: write, warn: write, error: write };
    limited = new LimitedLog(log, { now: () => now });
  });

  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    it(`${level}: writes so many lines of a message, then says how many it left out`, () => {
      for (let i = 0; i < LINES + 5; i++) limited[level]({ i }, 'failed');
      assert.equal(lines.length, LINES);
      limited[level]({}, 'no such name');
      limited[level === 'debug' ? 'info' : 'debug']({}, 'failed');
      assert.equal(lines.length, LINES + 2, 'another message, or level, has lines of its own');
      now = WINDOW_MS;
      limited[level]({ i: 99 }, 'failed');
      limited[level]({ i: 100 }, 'failed');
      assert.deepEqual(lines.slice(-2), [
        [{ i: 99, suppressed: 5 }, 'failed'],
        [{ i: 100 }, 'failed'],
      ]);
    });
  }

  it('messages beyond so many are counted together', () => {
    for (let i = 0; i < MESSAGES_MAX; i++) limited.warn({}, `message ${i}`);
    for (let i = 0; i < 1_000; i++) limited.warn({}, `more ${i}`);
    assert.equal(lines.length, MESSAGES_MAX + LINES);
    limited.warn({}, 'message 0');
    assert.equal(lines.length, MESSAGES_MAX + LINES + 1);
  });
});

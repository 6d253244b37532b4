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

  it('cuts what a guest may have said, wherever it is', () => {
    const long = 'x'.repeat(60_000);
    const error = new Error(`no such name: ${long}`, { cause: new Error(long) });
    Reflect.set(error, 'code', 'ENOENT');
    limited.warn(
      { path: long, names: [long, 'short'], deep: { a: { b: { c: { d: long } } } } },
      long,
    );
    limited.warn({ err: error, [long]: 1, many: Array.from({ length: 1000 }, () => 1) }, 'failed');
    for (const line of lines) assert.ok(JSON.stringify(line).length < 4_000);
    assert.match(JSON.stringify(lines[0]), /"path":"x{256}\.\.\. \(60000 characters\)","names":/);
    assert.match(JSON.stringify(lines[1]), /"code":"ENOENT"/);
    const short = { err: new Error('short'), port: 1, names: ['a'] };
    limited.warn(short, 'short');
    assert.equal(lines[2]?.[0], short, 'as it is');
  });
});

import assert from 'node:assert/strict';
import { logfmt } from '../../src/cli/logfmt-sink.ts';

describe('cli/logfmt-sink', () => {
  for (const [fields, expected] of [
    [{ msg: 'waiting for clients...' }, 'level=info msg="waiting for clients..."'],
    [{ level: 'warn', msg: 'x' }, 'level=warning msg="x"'],
    [
      { msg: 'x', pid: 7, path: '/run/a.sock', n: 5, ok: true },
      'level=info msg="x" n=5 ok=true path=/run/a.sock',
    ],
    [
      { msg: 'a "b"\n', why: 'no room', none: '' },
      'level=info msg="a \\"b\\"\\n" none="" why="no room"',
    ],
    [
      { msg: 'x', list: ['a', 1], nothing: null },
      'level=info msg="x" list="[\\"a\\",1]" nothing=null',
    ],
  ] as const) {
    it(expected, () => {
      const line = JSON.stringify({ level: 'info', time: '2026-11-28T02:03:04.567Z', ...fields });
      assert.equal(logfmt(line), `time="2026-11-28T02:03:04Z" ${expected}\n`);
    });
  }
});

import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { type ParsedAnswer, parseAnswer } from '../../../src/cli/docker-proxy/exchange.ts';

const BODY = '{"détail":"no"}';
const LENGTH = Buffer.byteLength(BODY);

const WHOLE: readonly [string, string, ParsedAnswer][] = [
  [
    'with a length',
    `HTTP/1.1 201 Created\r\nContent-Type: a\r\ncontent-length:  ${LENGTH}\r\n\r\n${BODY}`,
    { status: 201, body: BODY },
  ],
  [
    'in chunks',
    `HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n${LENGTH.toString(16)};x=y\r\n${BODY}\r\n2\r\nab\r\n0\r\n\r\n`,
    { status: 409, body: `${BODY}ab` },
  ],
  ['without a body', 'HTTP/1.0 204 No Content\r\n\r\n', { status: 204, body: '' }],
  ['without a reason', 'HTTP/1.1 500\r\nContent-Length: 0\r\n\r\n', { status: 500, body: '' }],
];

describe('docker-proxy: HTTP answers', () => {
  for (const [what, text, answer] of WHOLE) {
    it(what, () => assert.deepEqual(parseAnswer(Buffer.from(text), false), answer));
    it(`${what}: more is wanted of every beginning of it`, () => {
      const bytes = Buffer.from(text);
      const end = bytes.length - (what === 'in chunks' ? 2 : 0); // its last line is not looked at
      for (let len = 0; len < end; len++) {
        assert.equal(parseAnswer(bytes.subarray(0, len), false), 'more', `${len}`);
      }
    });
  }
  it('a body without a length ends with the connection', () => {
    const bytes = Buffer.from(`HTTP/1.1 403 Forbidden\r\n\r\n${BODY}`);
    assert.equal(parseAnswer(bytes, false), 'more');
    assert.deepEqual(parseAnswer(bytes, true), { status: 403, body: BODY });
  });
  for (const text of [
    'SSH-2.0-OpenSSH\r\n',
    'HTTP/1.1 abc\r\n\r\n',
    'HTTP/1.1 2000 x\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
  ]) {
    it(`bad: ${JSON.stringify(text)}`, () =>
      assert.equal(parseAnswer(Buffer.from(text), false), 'bad'));
  }
});

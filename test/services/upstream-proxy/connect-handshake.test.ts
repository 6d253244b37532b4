import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ConnectHandshake } from '../../../src/services/upstream-proxy/connect-handshake.ts';
import type { HandshakeStep } from '../../../src/services/upstream-proxy/handshake.ts';

const TARGET = { host: 'a.test', port: 443 };
const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'latin1');

function answered(answer: string, cut = answer.length): HandshakeStep {
  const handshake = new ConnectHandshake(TARGET, undefined);
  const bytes = bytesOf(answer);
  let step: HandshakeStep = 'more';
  for (let at = 0; at < bytes.length && step === 'more'; at += cut) {
    step = handshake.push(bytes, at, Math.min(at + cut, bytes.length));
  }
  return step;
}
const codeOf = (step: HandshakeStep): string | undefined =>
  typeof step !== 'string' && 'code' in step ? step.code : undefined;

describe('services/upstream-proxy: CONNECT', () => {
  it('names the destination, and whoever asks', () => {
    const text = (handshake: ConnectHandshake): string => Buffer.from(handshake.hello).toString();
    assert.equal(
      text(new ConnectHandshake(TARGET, undefined)),
      'CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n',
    );
    assert.equal(
      text(
        new ConnectHandshake(
          { host: '2001:db8::1', port: 1 },
          { user: 'Aladdin', password: 'open sesame' },
        ),
      ),
      'CONNECT [2001:db8::1]:1 HTTP/1.1\r\nHost: [2001:db8::1]:1\r\n' +
        'Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n',
    );
  });

  const OK = 'HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\nContent-Length: 9\r\n\r\n';
  it('is open behind the head of a 2xx, and what follows is of the flow', () => {
    for (const cut of [1, 2, 7, OK.length]) assert.deepEqual(answered(OK, cut), { at: OK.length });
    assert.deepEqual(answered(`${OK}SSH-2.0-x\r\n`), { at: OK.length });
    assert.deepEqual(answered('HTTP/1.0 200\n\nab'), { at: 14 });
  });

  it('waits for the final answer behind interim ones', () => {
    const interim = `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n`;
    assert.deepEqual(answered(interim + OK), { at: interim.length + OK.length });
  });

  const refusals: readonly (readonly [string, string, number | undefined])[] = [
    ['HTTP/1.1 403 Forbidden\r\n\r\n', 'EACCES', 403],
    ['HTTP/1.1 407 Proxy Authentication Required\r\nX: y\r\n\r\nbody', 'EACCES', 407],
    ['HTTP/1.1 502 Bad Gateway\r\n\r\n', 'EHOSTUNREACH', 502],
    ['HTTP/1.1 504 x\r\n\r\n', 'ETIMEDOUT', 504],
    ['HTTP/1.1 302 Found\r\n\r\n', 'EACCES', 302],
    ['HTTP/1.1 101 Switching Protocols\r\n\r\n', 'EPROTO', undefined],
    ['SSH-2.0-OpenSSH\r\n', 'EPROTO', undefined],
    ['\x05\x00', 'EPROTO', undefined],
    ['HTTP/2 200\r\n\r\n', 'EPROTO', undefined],
    ['HTTP/1.1 20 x\r\n\r\n', 'EPROTO', undefined],
  ];
  for (const [answer, code, status] of refusals) {
    it(`is refused by ${JSON.stringify(answer)}: ${code}`, () => {
      for (const cut of [1, answer.length]) {
        const step = answered(answer, cut);
        assert.equal(codeOf(step), code);
        assert.ok(typeof step !== 'string' && 'status' in step);
        assert.equal(step.status, status);
      }
    });
  }

  it('shows the reason of a refusal without its control characters', () => {
    const step = answered(`HTTP/1.1 403 \x1b[31mno${'!'.repeat(100)}\r\n\r\n`);
    assert.ok(typeof step !== 'string' && 'text' in step);
    assert.match(step.text, /^the proxy answers 403 \?\[31mno!{1,80}$/);
  });

  it('reads no more than 16 KiB, of one head or of many interim ones', () => {
    assert.equal(codeOf(answered(`HTTP/1.1 200 x\r\nX: ${'y'.repeat(17_000)}`, 1000)), 'EPROTO');
    assert.equal(codeOf(answered('HTTP/1.1 100 x\r\n\r\n'.repeat(1000))), 'EPROTO');
  });

  it('never throws, and is open by nothing but a 2xx, whatever a proxy sends', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.integer({ min: 1, max: 200 }),
        (bytes, cut) => {
          const step = answered(Buffer.from(bytes).toString('latin1'), cut);
          assert.ok(step === 'more' || codeOf(step) !== undefined);
        },
      ),
    );
  });
});

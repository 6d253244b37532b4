import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { HandshakeStep } from '../../../src/services/upstream-proxy/handshake.ts';
import { VpnkitTunnel } from '../../../src/services/upstream-proxy/vpnkit-tunnel.ts';

const TARGET = { host: '10.1.2.3', port: 443 };

function message(json: string): Uint8Array {
  const body = Buffer.from(json);
  const length = Buffer.alloc(2);
  length.writeUInt16LE(body.length);
  return Buffer.concat([length, body]);
}

function stepBy(bytes: Uint8Array): HandshakeStep {
  return new VpnkitTunnel(TARGET).push(bytes, 0, bytes.length);
}

describe("services/upstream-proxy: a tunnel of VPNKit's", () => {
  it('asks by the length of 16 bits, little-endian, and JSON', () => {
    const { hello } = new VpnkitTunnel(TARGET);
    assert.deepEqual(
      hello,
      new Uint8Array(
        message(
          '{"protocol":"tcp","src_ip":"0.0.0.0","src_port":0,"dst_ip":"10.1.2.3","dst_port":443}',
        ),
      ),
    );
  });

  it('is open when it is accepted, at the byte behind the answer, in any cut', () => {
    const answer = message('{"accepted": true}');
    const all = Buffer.concat([answer, Buffer.from('220 hello')]);
    assert.deepEqual(stepBy(all), { at: answer.length });
    const handshake = new VpnkitTunnel(TARGET);
    for (let at = 0; at < answer.length - 1; at++) {
      assert.equal(handshake.push(all, at, at + 1), 'more');
    }
    assert.deepEqual(handshake.push(all, answer.length - 1, all.length), { at: answer.length });
  });

  const failures: readonly (readonly [string, Uint8Array, string])[] = [
    ['it is not accepted', message('{"accepted":false}'), 'ECONNREFUSED'],
    ['neither', message('{"accepted":"yes"}'), 'ECONNREFUSED'],
    ['something else', message('{}'), 'EPROTO'],
    ['null', message('null'), 'EPROTO'],
    ['no JSON', message('accepted'), 'EPROTO'],
    ['nothing', message(''), 'EPROTO'],
    ['more than anybody says', Uint8Array.of(0x01, 0x10), 'EPROTO'],
  ];
  for (const [what, bytes, code] of failures) {
    it(`fails by an answer that is ${what}`, () => {
      const step = stepBy(bytes);
      assert.equal(typeof step === 'object' && 'code' in step ? step.code : step, code);
    });
  }

  it('never throws on hostile bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 5_000 }), (bytes) => void stepBy(bytes)));
  });
});

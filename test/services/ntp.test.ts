import assert from 'node:assert/strict';
import fc from 'fast-check';
import { answerNtp } from '../../src/services/ntp.ts';

describe('answerNtp', () => {
  it('echoes the client transmit time as the originate time (RFC 4330 §5)', () => {
    const request = new DataView(new ArrayBuffer(48));
    request.setUint8(0, 0x23); // version 4, client
    request.setUint32(40, 0xdead_beef);
    const reply = new DataView(new ArrayBuffer(48));

    assert.equal(answerNtp(request, reply, 1_700_000_000_500), 48);
    assert.equal(reply.getUint8(0), 0x24);
    assert.equal(reply.getUint32(24), 0xdead_beef);
    assert.equal(reply.getUint32(40), 1_700_000_000 + 2_208_988_800);
    assert.equal(reply.getUint32(44), 0x8000_0000); // half a second
  });

  it('ignores short packets and other modes', () => {
    const reply = new DataView(new ArrayBuffer(48));
    assert.equal(answerNtp(new DataView(new ArrayBuffer(47)), reply, 0), 0);
    assert.equal(answerNtp(new DataView(new ArrayBuffer(48)), reply, 0), 0);
  });

  it('never throws on hostile bytes, and never writes more than 48', () => {
    const reply = new DataView(new ArrayBuffer(48));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.double({ noNaN: true }), (bytes, wallMs) => {
        const request = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
        const len = answerNtp(request, reply, wallMs);
        const wanted = bytes.length >= 48 && ((bytes[0] ?? 0) & 7) === 3;
        assert.equal(len, wanted ? 48 : 0);
      }),
    );
  });
});

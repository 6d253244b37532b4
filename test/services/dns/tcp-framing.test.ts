import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DnsTcpReader, frameDnsMessage } from '../../../src/services/dns/tcp-framing.ts';

describe('DNS over TCP', () => {
  it('gives the messages that were framed, however the stream is cut', () => {
    const messages = fc.array(fc.uint8Array({ minLength: 12, maxLength: 1500 }), { maxLength: 5 });
    fc.assert(
      fc.property(
        messages,
        fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1 }),
        (sent, cuts) => {
          const stream = Uint8Array.from(sent.flatMap((message) => [...frameDnsMessage(message)]));
          const got: Uint8Array[] = [];
          const reader = new DnsTcpReader(1500, (message) => got.push(message));
          for (let at = 0, i = 0; at < stream.length; i++) {
            const len = Math.min(cuts[i % cuts.length] ?? 1, stream.length - at);
            assert.equal(reader.push(stream, at, len), undefined);
            at += len;
          }
          assert.deepEqual(got, sent);
          assert.equal(reader.partial, false);
        },
      ),
    );
  });

  it('refuses a message above the limit at its length field, and everything after', () => {
    const reader = new DnsTcpReader(100, () => assert.fail('no message'));
    assert.equal(reader.push(Uint8Array.of(0)), undefined);
    assert.equal(reader.partial, true);
    assert.equal(reader.push(Uint8Array.of(101)), 'dns-tcp-too-long');
    assert.equal(reader.push(frameDnsMessage(new Uint8Array(12))), 'dns-tcp-too-long');
  });

  it('refuses a message shorter than a header', () => {
    const reader = new DnsTcpReader(100, () => assert.fail('no message'));
    assert.equal(reader.push(Uint8Array.of(0, 11)), 'dns-tcp-too-short');
  });
});

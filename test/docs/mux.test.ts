import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { ipv4 } from '../../src/base/ip-address.ts';
import { makeSlab } from '../../src/base/slab.ts';
import { emitDestination, emitEndpoint } from '../../src/mux/destination.ts';
import { DATA_HEADER_LEN, emitDataHeader, emitFrame, OPEN } from '../../src/mux/frame.ts';
import { emitHandshake, HANDSHAKE_LEN, parseOffer } from '../../src/mux/handshake.ts';
import { reasonOfCode } from '../../src/mux/reason.ts';
import { emitDatagramHeader } from '../../src/mux/udp-encapsulation.ts';

const PAGE = readFileSync('docs/mux.md', 'utf8');
const CHANNEL = 7;

/** The bytes of the page's block "```hex NAME". */
function documented(name: string): string {
  const [, block] = new RegExp(`\`\`\`hex ${name}\n([^\`]*)\`\`\``).exec(PAGE) ?? [];
  assert.ok(block !== undefined, `docs/mux.md has no block "hex ${name}"`);
  return block.replace(/\s/g, '');
}

function written(emit: (view: DataView, bytes: Uint8Array) => number): string {
  const { bytes, view } = makeSlab(256);
  return Buffer.from(bytes.subarray(0, emit(view, bytes))).toString('hex');
}

describe('docs/mux.md', () => {
  const offer = {
    role: 'listener',
    window: 65_536,
    maxPayload: 65_536,
    maxChannels: 16_384,
  } as const;

  it('shows the offer that is sent, and that is understood', () => {
    const sent = written((view) => emitHandshake(view, 0, offer)).slice(HANDSHAKE_LEN * 2);
    assert.equal(documented('offer'), sent);
    const bytes = new Uint8Array(Buffer.from(documented('offer'), 'hex'));
    assert.deepEqual(parseOffer(new DataView(bytes.buffer), 0, bytes.length), offer);
  });

  it('shows the bytes of a Data frame', () => {
    const sent = written((view, bytes) => {
      emitDataHeader(view, 0, CHANNEL, 5);
      bytes.set(new TextEncoder().encode('hello'), DATA_HEADER_LEN);
      return DATA_HEADER_LEN + 5;
    });
    assert.equal(documented('data'), sent);
  });

  it('shows the bytes of an Open with its client', () => {
    const sent = written((view) => {
      view.setUint8(7, 2);
      let at = 8 + emitDestination(view, 8, { proto: 'tcp', address: ipv4(0x7f00_0001), port: 80 });
      at += emitEndpoint(view, at, { address: ipv4(0xc000_0209 | 0), port: 51_000 });
      return emitFrame(view, 0, at, OPEN, CHANNEL);
    });
    assert.equal(documented('open'), sent);
  });

  it('shows the bytes of a datagram', () => {
    const sent = written((view, bytes) => {
      const at = emitDatagramHeader(view, 0, undefined, 4);
      bytes.set(new TextEncoder().encode('ping'), at);
      return at + 4;
    });
    assert.equal(documented('datagram'), sent);
  });

  it('lists the reason of every code', () => {
    const rows = [...PAGE.matchAll(/^\| (\d+) \| ([a-z-]+) \|/gm)];
    assert.equal(rows.length, 10);
    for (const [, code, reason] of rows) assert.equal(reasonOfCode(Number(code)), reason);
  });
});

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { quicCrypto } from '../../../src/proxy/inspect/quic-crypto.ts';
import { DatagramInspector } from '../../../src/services/sniff/datagram-inspector.ts';
import { cryptoFrames, openInitial } from '../../../src/services/sniff/quic-initial.ts';
import { clientInitialKeys } from '../../../src/services/sniff/quic-keys.ts';
import { readLongPacket } from '../../../src/services/sniff/quic-packet.ts';
import type { Claim } from '../../../src/services/sniff/reader.ts';
import { helloMessage, KEY_SHARE, ML_KEM_SHARE_LEN } from './hello-bytes.ts';
import { cryptoFrame, type InitialShape, initialPacket } from './quic-bytes.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const ID = hex('8394c8f03e515708');
const OTHER_ID = hex('00112233445566778899');
const NAME = 'www.example.com';

/** RFC 9001 appendix A.2: the frames, of which the rest of the payload is padding. */
const FRAMES = hex(
  '060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413011302010000c0' +
    '00000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e0005000501' +
    '00000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304' +
    '000d0010000e0403050306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07' +
    '048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff',
);

class Inspected {
  readonly claims: Claim[] = [];
  readonly results: string[] = [];
  private readonly inspector: DatagramInspector;

  constructor(isQuicOnly = true, allows: (name: string | undefined) => boolean = () => true) {
    this.inspector = new DatagramInspector(quicCrypto, isQuicOnly, (claim) => {
      this.claims.push(claim);
      return allows(claim.name);
    });
  }

  get names(): readonly (string | undefined)[] {
    return this.claims.map(({ name }) => name);
  }

  push(...datagrams: readonly Uint8Array[]): this {
    for (const bytes of datagrams) {
      this.results.push(this.inspector.push(bytes, 0, bytes.length));
    }
    return this;
  }
}

const MESSAGE = helloMessage({ name: NAME, alpn: ['h3'] });
const EVIL = helloMessage({ name: 'evil.test' });
const LARGE = helloMessage({
  name: NAME,
  extensions: [[KEY_SHARE, new Uint8Array(ML_KEM_SHARE_LEN)]],
});

const initial = (
  number: number,
  frames: Uint8Array,
  shape: Partial<InitialShape> = {},
): Uint8Array => initialPacket({ destination: ID, number, frames, ...shape });
const whole = (message: Uint8Array): Uint8Array => cryptoFrame(0, message);
const part = (from: number, to?: number): Uint8Array => cryptoFrame(from, LARGE.subarray(from, to));
const joined = (...parts: readonly Uint8Array[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((bytes) => [...bytes]));
const onlyName = (name: string | undefined): boolean => name === NAME;

describe('Initial packets of QUIC', () => {
  const vectors = [
    {
      rfc: 9001,
      version: 1,
      key: '1f369613dd76d5467730efcbe3b1a22d',
      iv: 'fa044b2f42a3fd3b46fb255c',
      hp: '9f50449e04a0e810283a1e9933adedd2',
      starts:
        'c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9bd8bab936b47d92ec356c0b',
      ends: 'e221af44860018ab0856972e194cd934',
    },
    {
      rfc: 9369,
      version: 2,
      key: '8b1a0bc121284290a29e0971b5cd045d',
      iv: '91f73e2351d8fa91660e909f',
      hp: '45b95e15235d6f45a6b19cbcb0294ba9',
      starts:
        'd76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485dd04de806071bf03dceebfa162e75d6c96',
      ends: 'a18b2faa745b6fe189cf772a9f84cbfc',
    },
  ] as const;
  for (const { rfc, version, starts, ends, ...keys } of vectors) {
    it(`are those of RFC ${rfc}, appendix A`, () => {
      const derived = clientInitialKeys(quicCrypto, version, ID);
      assert.deepEqual(
        { key: textOf(derived.key), iv: textOf(derived.iv), hp: textOf(derived.hp) },
        keys,
      );
      const bytes = initial(2, FRAMES, { version });
      assert.ok(textOf(bytes).startsWith(starts) && textOf(bytes).endsWith(ends));
      const packet = readLongPacket(bytes, 0, bytes.length);
      assert.ok(packet?.isInitial && packet.to === 1200);
      const opened = openInitial(quicCrypto, derived, bytes, packet, -1);
      assert.equal(opened?.number, 2);
      assert.deepEqual(cryptoFrames(opened?.payload ?? new Uint8Array(0))?.[0]?.bytes.length, 241);
      const stream = new Inspected().push(bytes);
      assert.deepEqual([stream.names, stream.results], [['example.com'], ['pass']]);
      assert.deepEqual(stream.claims[0]?.hello?.alpn, ['alpn']);
    });
  }

  it('are held until the hello is whole, in any order', () => {
    const first = initial(0, part(0, 900));
    const last = initial(1, part(900));
    assert.deepEqual(new Inspected().push(first, last).results, ['hold', 'pass']);
    const reversed = new Inspected().push(last, first, first);
    assert.deepEqual([reversed.results, reversed.names], [['hold', 'pass', 'pass'], [NAME]]);
  });

  it('may have their frames in any pieces and order, with others in between', () => {
    const cuts = fc.array(fc.integer({ min: 1, max: LARGE.length - 1 }), { maxLength: 30 });
    fc.assert(
      fc.property(cuts, fc.nat(), (at, seed) => {
        const edges = [0, ...new Set(at), LARGE.length].sort((a, b) => a - b);
        const frames = edges.slice(1).map((to, i) => part(edges[i] ?? 0, to));
        const turn = seed % frames.length;
        const ordered = [...frames.slice(turn), ...frames.slice(0, turn)].reverse();
        const mid = ordered.length >> 1;
        const ack = Uint8Array.of(2, 0, 0, 0, 0, 3, 0, 0, 1, 0, 0, 0, 1, 1, 1);
        const stream = new Inspected().push(
          initial(0, joined(Uint8Array.of(1, 0), ...ordered.slice(0, mid))),
          initial(1, joined(ack, ...ordered.slice(mid))),
        );
        assert.deepEqual([stream.names, stream.results], [[NAME], ['hold', 'pass']]);
      }),
      { numRuns: 50 },
    );
  });

  it('are of one connection also behind a Retry, or with the name that the server chose', () => {
    const chosen = initial(1, Uint8Array.of(1), { to: OTHER_ID });
    const retried = initial(1, whole(MESSAGE), {
      destination: OTHER_ID,
      token: new Uint8Array(70),
    });
    const stream = new Inspected().push(initial(0, whole(MESSAGE)), chosen, retried);
    assert.deepEqual(
      [stream.names, stream.results],
      [
        [NAME, NAME],
        ['pass', 'pass', 'pass'],
      ],
    );
  });

  it('may go on in version 2', () => {
    const stream = new Inspected().push(
      initial(0, whole(MESSAGE)),
      initial(1, Uint8Array.of(1), { version: 2, to: OTHER_ID }),
    );
    assert.deepEqual([stream.names, stream.results], [[NAME], ['pass', 'pass']]);
  });

  it('have short headers and later packets behind them', () => {
    const handshake = Uint8Array.of(0xe0, 0, 0, 0, 1, 8, ...ID, 0, 20, ...new Uint8Array(20));
    const short = Uint8Array.of(0x40, 1, 2, 3);
    const greased = Uint8Array.of(0xa0, ...handshake.subarray(1)); // RFC 9287
    const stream = new Inspected().push(
      joined(initial(0, whole(MESSAGE)), handshake),
      ...[short, handshake, greased],
    );
    assert.deepEqual(stream.results, ['pass', 'pass', 'pass', 'pass']);
  });

  const refused: readonly (readonly [string, readonly Uint8Array[], readonly string[]])[] = [
    ['another name', [initial(0, whole(EVIL))], ['refused']],
    ['no name', [initial(0, whole(helloMessage({})))], ['refused']],
    [
      'a second hello of another name',
      [initial(0, whole(MESSAGE)), initial(1, cryptoFrame(MESSAGE.length, EVIL))],
      ['pass', 'refused'],
    ],
    [
      'another connection to another name',
      [initial(0, whole(MESSAGE)), initial(0, whole(EVIL), { destination: OTHER_ID })],
      ['pass', 'refused'],
    ],
    [
      'two connections in a datagram',
      [
        joined(
          initial(0, whole(MESSAGE), { size: 0 }),
          initial(0, whole(EVIL), { destination: OTHER_ID }),
        ),
      ],
      ['refused'],
    ],
  ];
  for (const [what, datagrams, results] of refused) {
    it(`are refused for ${what}, and everything behind them`, () => {
      const stream = new Inspected(true, onlyName).push(...datagrams, initial(9, whole(MESSAGE)));
      assert.deepEqual(stream.results, [...results, 'refused']);
    });
  }

  const malformed: readonly (readonly [string, readonly Uint8Array[], string])[] = [
    [
      'other bytes than before',
      [initial(0, whole(MESSAGE)), initial(1, whole(EVIL))],
      'quic-malformed',
    ],
    ['another message', [initial(0, whole(Uint8Array.of(2, 0, 0, 0)))], 'quic-malformed'],
    ['a malformed hello', [initial(0, whole(Uint8Array.of(1, 0, 0, 1, 0)))], 'quic-malformed'],
    ['a frame that has no place there', [initial(0, Uint8Array.of(8, 0))], 'quic-malformed'],
    ['a frame cut short', [initial(0, Uint8Array.of(6, 0, 0x7f, 0xff))], 'quic-malformed'],
    ['a hello beyond the limit', [initial(0, cryptoFrame(0x3fff, MESSAGE))], 'quic-too-long'],
    ['a Retry', [Uint8Array.of(0xf0, 0, 0, 0, 1, 0, 0, ...new Uint8Array(40))], 'quic-malformed'],
    [
      'a name of 21 bytes',
      [initial(0, whole(MESSAGE), { to: new Uint8Array(21) })],
      'quic-malformed',
    ],
    [
      'a length beyond the datagram',
      [initial(0, whole(MESSAGE)).subarray(0, 1199)],
      'quic-malformed',
    ],
    [
      'five Initials',
      [joined(...[0, 1, 2, 3, 4].map((n) => initial(n, Uint8Array.of(1), { size: 60 })))],
      'quic-malformed',
    ],
    ['keys of its own', [initial(0, whole(MESSAGE), { to: OTHER_ID })], 'quic-unreadable'],
    ['a draft', [Uint8Array.of(0xc0, 0xff, 0, 0, 29, 0, 0)], 'quic-unreadable'],
    [
      'the draft of version 2',
      [Uint8Array.of(0xc0, 0x70, 0x9a, 0x50, 0xc4, 0, 0)],
      'quic-unreadable',
    ],
    ['a version of Google', [Uint8Array.of(0xc0, 0x51, 0x30, 0x35, 0x30, 0, 0)], 'quic-unreadable'],
    ['a reserved version', [Uint8Array.of(0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 0, 0)], 'quic-unreadable'],
    [
      'no Initial in front',
      [Uint8Array.of(0xe0, 0, 0, 0, 1, 0, 0, 20, ...new Uint8Array(20))],
      'quic-unreadable',
    ],
  ];
  for (const [what, datagrams, result] of malformed) {
    it(`with ${what} are ${result.slice(5)}`, () => {
      for (const isQuicOnly of [true, false]) {
        assert.equal(new Inspected(isQuicOnly).push(...datagrams).results.at(-1), result);
      }
    });
  }

  it('are not tried any more after some that cannot be read', () => {
    const bad = Uint8Array.of(0xc0, 0xff, 0, 0, 29, 0, 0);
    const stream = new Inspected().push(...Array.from({ length: 8 }, () => bad));
    assert.equal(stream.push(initial(0, whole(MESSAGE))).results.at(-1), 'quic-unreadable');
    assert.deepEqual(stream.names, []);
  });

  it('begin a limited number of connections', () => {
    const ids = [1, 2, 3, 4, 5].map((n) => new Uint8Array(8).fill(n));
    const stream = new Inspected();
    for (const destination of ids) stream.push(initial(0, whole(MESSAGE), { destination }));
    assert.deepEqual(stream.results, ['pass', 'pass', 'pass', 'pass', 'quic-unreadable']);
  });

  it('are not many of one connection', () => {
    const stream = new Inspected();
    for (let n = 0; n < 64; n++) stream.push(initial(n, whole(MESSAGE)));
    assert.equal(stream.results.at(-1), 'pass');
    stream.push(initial(64, whole(MESSAGE)), initial(0, whole(MESSAGE), { destination: OTHER_ID }));
    assert.deepEqual(stream.results.slice(-2), ['quic-malformed', 'quic-malformed']);
  });

  it('take of all connections no more memory than one may', () => {
    const pending = (id: number): Uint8Array =>
      initial(0, cryptoFrame(8000, MESSAGE.subarray(0, 50)), {
        destination: new Uint8Array(8).fill(id),
      });
    const stream = new Inspected().push(pending(1), pending(2), pending(3));
    assert.deepEqual(stream.results, ['hold', 'hold', 'quic-too-long']);
  });

  it('have the packet numbers of RFC 9000, appendix A.3', () => {
    const stream = new Inspected();
    for (const number of [0, 1, 0x7fffffff, 5]) stream.push(initial(number, whole(MESSAGE)));
    assert.deepEqual(stream.results, ['pass', 'pass', 'pass', 'pass']);
  });

  it('never throw on hostile bytes', () => {
    const bytes = initial(0, whole(MESSAGE));
    const edits = fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 6 });
    fc.assert(
      fc.property(edits, fc.nat(1200), (list, len) => {
        const edited = bytes.slice(0, len);
        for (const [at, byte] of list) if (at < len) edited[at] = byte;
        new Inspected().push(edited, edited);
      }),
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (frames) => void cryptoFrames(frames)));
  });
});

describe('Datagrams that are not of QUIC', () => {
  const ntp = Uint8Array.of(0xe3, 0, 3, 0xfa, ...new Uint8Array(44));
  const others = [Uint8Array.of(0x40, 1), ntp, new Uint8Array(0), Uint8Array.of(0xc0)];

  it('pass where others than QUIC are expected', () => {
    assert.deepEqual(
      new Inspected(false).push(...others).results,
      others.map(() => 'pass'),
    );
  });

  it('cannot be read where none are', () => {
    const results = new Inspected(true).push(...others).results;
    assert.deepEqual(
      results,
      others.map(() => 'quic-unreadable'),
    );
  });

  it('do not free what follows', () => {
    const stream = new Inspected(false, onlyName).push(ntp, initial(0, whole(EVIL)));
    assert.deepEqual(stream.results, ['pass', 'refused']);
  });
});

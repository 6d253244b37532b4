import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { readClientHello } from '../../../src/services/sniff/client-hello.ts';
import {
  ascii,
  EARLY_DATA,
  ECH,
  GREASE,
  helloBody,
  helloMessage,
  helloRecords,
  KEY_SHARE,
  ML_KEM_SHARE_LEN,
  record,
  serverNameData,
  vector16,
} from './hello-bytes.ts';
import { Inspected } from './inspected.ts';

const NAME = 'www.example.com';
const SHAPE = { name: NAME, alpn: ['h2', 'http/1.1'] };
const SESSION_LEN_AT = 34;
/** Of the record, and of the message. */
const HEADERS = 5 + 4;
const WITHOUT_EXTENSIONS = 75;

const REAL = ['curl', 'openssl-tls12', 'node', 'python', 'go', 'boringssl-grease'];
const realHello = (client: string): Uint8Array =>
  readFileSync(new URL(`../../../../fixtures/hello/${client}.bin`, import.meta.url));

const edited = (at: number, ...bytes: number[]): Uint8Array => {
  const body = helloBody(SHAPE);
  body.set(bytes, at);
  return body;
};

describe('A ClientHello', () => {
  it('states a server name and protocols', () => {
    assert.deepEqual(readClientHello(helloBody(SHAPE)), {
      serverName: NAME,
      alpn: ['h2', 'http/1.1'],
      hasEch: false,
      hasEarlyData: false,
    });
  });

  it('may have no extensions', () => {
    const bare = helloBody({}).subarray(0, -2);
    assert.equal(readClientHello(bare)?.serverName, undefined);
  });

  it('shows that a part of it is encrypted, and that early data follows', () => {
    const extensions = [
      [GREASE, new Uint8Array(0)],
      [ECH, new Uint8Array(200)],
      [EARLY_DATA, new Uint8Array(0)],
      [KEY_SHARE, new Uint8Array(ML_KEM_SHARE_LEN + 10)],
    ] as const;
    const hello = readClientHello(helloBody({ ...SHAPE, extensions }));
    assert.deepEqual([hello?.serverName, hello?.hasEch, hello?.hasEarlyData], [NAME, true, true]);
  });

  const names: readonly (readonly [string, string | undefined])[] = [
    ['WWW.Example.COM', NAME],
    ['www.example.com.', NAME],
    ['a_b-c.example', 'a_b-c.example'],
    ['192.0.2.1', '192.0.2.1'],
    ['', undefined],
    ['.', undefined],
    ['www..example.com', undefined],
    ['www.example.com..', undefined],
    ['www.example.com\0.evil.test', undefined],
    ['www.example.com evil.test', undefined],
    ['www.ex\u00e4mple.com', undefined],
    [`${'a'.repeat(64)}.test`, undefined],
    [`${'a.'.repeat(127)}test`, undefined],
  ];
  for (const [stated, read] of names) {
    it(`with the server name ${JSON.stringify(stated.slice(0, 40))} is ${read ?? 'malformed'}`, () => {
      assert.equal(readClientHello(helloBody({ name: stated }))?.serverName, read);
    });
  }

  const TWO_NAMES = Uint8Array.from(
    vector16([0, ...vector16(ascii(NAME)), 0, ...vector16(ascii('evil.test'))]),
  );
  const OTHER_TYPE = Uint8Array.from(vector16([1, ...vector16(ascii(NAME))]));
  const malformed: readonly (readonly [string, Uint8Array])[] = [
    ['two server names', helloBody({ extensions: [[0, TWO_NAMES]] })],
    [
      'two server name extensions',
      helloBody({ ...SHAPE, extensions: [[0, serverNameData('evil.test')]] }),
    ],
    ['a server name of another type', helloBody({ extensions: [[0, OTHER_TYPE]] })],
    ['an empty server name extension', helloBody({ extensions: [[0, new Uint8Array(0)]] })],
    [
      'a byte behind the server names',
      helloBody({ extensions: [[0, Uint8Array.from([...serverNameData(NAME), 0])]] }),
    ],
    [
      'an extension twice',
      helloBody({
        extensions: [
          [GREASE, new Uint8Array(0)],
          [GREASE, new Uint8Array(1)],
        ],
      }),
    ],
    ['an empty protocol', helloBody({ alpn: [''] })],
    ['a session of 33 bytes', edited(SESSION_LEN_AT, 33)],
    ['a byte behind the extensions', Uint8Array.from([...helloBody(SHAPE), 0])],
    ['no cipher suites', edited(SESSION_LEN_AT + 33, 0, 0)],
    ['nothing', new Uint8Array(0)],
  ];
  for (const [what, body] of malformed) {
    it(`with ${what} is malformed`, () => assert.equal(readClientHello(body), undefined));
  }

  it('is malformed wherever it is cut', () => {
    const body = helloBody(SHAPE);
    for (let len = 0; len < body.length; len++) {
      const cut = readClientHello(body.subarray(0, len));
      if (len !== WITHOUT_EXTENSIONS) assert.equal(cut, undefined, `cut at ${len}`);
    }
  });

  it('keeps of the protocols the first few that are text', () => {
    const alpn = ['\x1b[31m', ...Array.from({ length: 40 }, (_, i) => `p${i}`)];
    const hello = readClientHello(helloBody({ alpn }));
    assert.deepEqual(
      hello?.alpn,
      Array.from({ length: 16 }, (_, i) => `p${i}`),
    );
  });

  it('never throws on hostile bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void readClientHello(bytes)),
    );
    const at = fc.nat(helloBody(SHAPE).length - 1);
    fc.assert(
      fc.property(at, fc.uint8Array({ maxLength: 4 }), (i, bytes) => {
        const body = helloBody(SHAPE);
        body.set(bytes.subarray(0, body.length - i), i);
        readClientHello(body);
      }),
    );
  });
});

describe('A stream of TLS', () => {
  for (const client of REAL) {
    it(`of ${client} states the server's name, however it is cut`, () => {
      const bytes = realHello(client);
      for (const cut of [1, 2, 7, 100, bytes.length]) {
        const stream = new Inspected().push(bytes, cut);
        assert.deepEqual([stream.names, stream.result], [[NAME], 'more']);
        assert.deepEqual(stream.forwarded, Uint8Array.from(bytes));
      }
    });
  }

  it('of BoringSSL with ECH, or with GREASE, states the name of the front, or the one that is meant', () => {
    const read = (client: string): readonly unknown[] => {
      const hello = readClientHello(realHello(client).subarray(HEADERS));
      return [hello?.serverName, hello?.hasEch];
    };
    assert.deepEqual(read('boringssl-ech'), ['cloudflare-ech.com', true]);
    assert.deepEqual(read('boringssl-grease'), [NAME, true]);
    assert.deepEqual(read('curl'), [NAME, false]);
  });

  it('may have its hello in records of any size', () => {
    const extensions = [[KEY_SHARE, new Uint8Array(ML_KEM_SHARE_LEN)]] as const;
    const cuts = fc.integer({ min: 1, max: 400 });
    fc.assert(
      fc.property(cuts, cuts, (recordCut, cut) => {
        const bytes = helloRecords({ ...SHAPE, extensions }, recordCut);
        const stream = new Inspected().push(bytes, cut);
        assert.deepEqual([stream.names, stream.result], [[NAME], 'more']);
        assert.deepEqual(stream.forwarded, bytes);
      }),
      { numRuns: 30 },
    );
  });

  it('sends nothing on before its name is allowed, and nothing when it is not', () => {
    const bytes = helloRecords(SHAPE);
    const stream = new Inspected(() => false);
    stream.push(bytes.subarray(0, -1), 3);
    assert.deepEqual([stream.result, stream.forwarded.length], ['more', 0]);
    stream.push(bytes.subarray(-1)).push(bytes);
    assert.deepEqual([stream.result, stream.forwarded.length], ['refused', 0]);
  });

  it('states no name where the hello has none', () => {
    assert.deepEqual(new Inspected().push(helloRecords({})).names, [undefined]);
  });

  it('states no name in the form of SSL 2', () => {
    const stream = new Inspected(() => false).push(Uint8Array.of(0x80, 0x2e, 1, 3, 1, 0, 0x15));
    assert.deepEqual(
      [stream.names, stream.result, stream.forwarded.length],
      [[undefined], 'refused', 0],
    );
    assert.equal(
      new Inspected(() => false).push(Uint8Array.of(0x80, 0x2e, 1, 0, 2), 1).result,
      'refused',
    );
    const allowed = new Inspected().push(Uint8Array.of(0x80, 0x2e, 1, 3, 1, 0, 0x15), 1);
    assert.deepEqual([allowed.result, allowed.forwarded.length], ['free', 7]);
  });

  const HELLO = helloRecords(SHAPE);
  const OTHER = helloRecords({ name: 'evil.test' });
  const CCS = record(20, Uint8Array.of(1));
  const ALERT = record(21, Uint8Array.of(1, 0));
  const DATA = record(23, new Uint8Array(40));
  const KEY_EXCHANGE = record(22, Uint8Array.of(16, 0, 0, 1, 0));
  const EARLY = helloRecords({ ...SHAPE, extensions: [[EARLY_DATA, new Uint8Array(0)]] });

  const second: readonly (readonly [string, readonly Uint8Array[]])[] = [
    ['at once', [HELLO, OTHER]],
    ['behind a ChangeCipherSpec', [HELLO, CCS, OTHER]],
    ['behind an alert', [HELLO, ALERT, OTHER]],
    ['behind early data', [EARLY, CCS, DATA, DATA, OTHER]],
  ];
  for (const [where, records] of second) {
    for (const cut of [1, 5, 4096]) {
      it(`is refused for the name of a second hello ${where}, cut at ${cut}`, () => {
        const stream = new Inspected((name) => name === NAME);
        for (const bytes of records) stream.push(bytes, cut);
        assert.deepEqual([stream.names, stream.result], [[NAME, 'evil.test'], 'refused']);
        const before = records.slice(0, -1).flatMap((bytes) => [...bytes]);
        assert.deepEqual([...stream.forwarded], before);
      });
    }
  }

  const free: readonly (readonly [string, readonly Uint8Array[]])[] = [
    ['data', [HELLO, CCS, DATA]],
    ['a key exchange of TLS 1.2', [HELLO, KEY_EXCHANGE]],
    ['a second hello', [HELLO, CCS, HELLO]],
  ];
  for (const [what, records] of free) {
    it(`is free behind ${what}`, () => {
      const stream = new Inspected();
      for (const bytes of records) stream.push(bytes, 3);
      assert.equal(stream.result, 'free');
      assert.deepEqual(
        [...stream.forwarded],
        records.flatMap((bytes) => [...bytes]),
      );
    });
  }

  const malformed: readonly (readonly [string, Uint8Array])[] = [
    ['an alert in front', Uint8Array.from([...ALERT, ...HELLO])],
    ['data in front', Uint8Array.from([...DATA, ...HELLO])],
    ['an empty record', record(22, new Uint8Array(0))],
    [
      'an empty record of data behind the hello',
      Uint8Array.from([...EARLY, ...record(23, new Uint8Array(0))]),
    ],
    ['a heartbeat behind the hello', Uint8Array.from([...HELLO, ...record(24, new Uint8Array(9))])],
    ['another message first', record(22, Uint8Array.of(2, 0, 0, 0))],
    [
      'another version in a later record',
      Uint8Array.from([...helloRecords(SHAPE, 50).subarray(0, 55), 22, 2]),
    ],
    [
      'a message behind the hello in its record',
      record(22, Uint8Array.from([...helloMessage(SHAPE), 16, 0])),
    ],
    ['a record longer than there are', Uint8Array.of(22, 3, 1, 0xff, 0xff)],
    ['a malformed hello', record(22, Uint8Array.of(1, 0, 0, 1, 9))],
  ];
  for (const [what, bytes] of malformed) {
    it(`with ${what} is malformed`, () => {
      const stream = new Inspected().push(bytes, 2).push(new Uint8Array(40));
      assert.equal(stream.result, 'tls-malformed');
    });
  }

  it('is too long when its hello is, as announced or with its headers', () => {
    const announced = new Inspected().push(record(22, Uint8Array.of(1, 0, 0x40, 0)));
    assert.deepEqual([announced.result, announced.forwarded.length], ['tls-too-long', 0]);
    const extensions = [[KEY_SHARE, new Uint8Array(5000)]] as const;
    const tiny = new Inspected().push(helloRecords({ ...SHAPE, extensions }, 2));
    assert.deepEqual([tiny.result, tiny.forwarded.length], ['tls-too-long', 0]);
  });

  it('is truncated when the client ends in the middle of a hello', () => {
    assert.equal(new Inspected().push(HELLO.subarray(0, 40)).end().result, 'truncated');
    assert.equal(new Inspected().push(HELLO).end().result, 'free');
  });
});

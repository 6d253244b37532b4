import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { type AddressInfo, connect, createServer } from 'node:net';
import fc from 'fast-check';
import { ByteCursor } from '../../../src/services/sniff/byte-cursor.ts';
import { HpackDecoder } from '../../../src/services/sniff/hpack.ts';
import { decodeHuffman } from '../../../src/services/sniff/huffman.ts';
import { MAX_HELD } from '../../../src/services/sniff/reader.ts';
import { ascii } from './hello-bytes.ts';
import { Inspected } from './inspected.ts';

const hex = (text: string): Uint8Array =>
  Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

const HEADERS = 1;
const SETTINGS = 4;
const PUSH_PROMISE = 5;
const CONTINUATION = 9;
const END_HEADERS = 4;
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

const frame = (type: number, flags: number, stream: number, payload: Uint8Array): Uint8Array =>
  Uint8Array.of(
    0,
    payload.length >>> 8,
    payload.length & 0xff,
    type,
    flags,
    0,
    0,
    0,
    stream,
    ...payload,
  );
/** Literal, without indexing; names and values below 127 bytes. */
const field = (name: string, value: string): Uint8Array =>
  Uint8Array.of(0, name.length, ...ascii(name), value.length, ...ascii(value));
const block = (...fields: readonly Uint8Array[]): Uint8Array =>
  Uint8Array.from(fields.flatMap((bytes) => [...bytes]));
const headers = (stream: number, ...fields: readonly Uint8Array[]): Uint8Array =>
  frame(HEADERS, END_HEADERS, stream, block(...fields));
const A = field(':authority', 'a.test');
const B = field(':authority', 'b.test');

const decoded = (decoder: HpackDecoder, bytes: Uint8Array): readonly string[] | undefined => {
  const fields: string[] = [];
  const isSound = decoder.decode(new ByteCursor(bytes), (name, value) => {
    fields.push(`${name}: ${value}`);
  });
  return isSound ? fields : undefined;
};

/** What a client of HTTP/2 sends for requests to these names. */
async function sentFor(names: readonly string[]): Promise<Uint8Array> {
  const server = http2.createServer((request, response) => {
    request.resume().on('end', () => response.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sent: Buffer[] = [];
  const relay = createServer((client) => {
    const upstream = connect((server.address() as AddressInfo).port, '127.0.0.1');
    client
      .on('data', (bytes) => sent.push(Buffer.from(bytes)))
      .pipe(upstream)
      .pipe(client);
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  const session = http2.connect(`http://127.0.0.1:${(relay.address() as AddressInfo).port}`);
  for (const name of names) {
    const request = session.request({
      ':authority': name,
      ':method': 'POST',
      cookie: 'x'.repeat(300),
      'x-own': name,
    });
    request.end('GET / HTTP/1.1\r\n'.repeat(100));
    await once(request.resume(), 'end');
  }
  session.close();
  await once(session, 'close');
  relay.close();
  server.close();
  return Uint8Array.from(Buffer.concat(sent));
}

describe('HPACK', () => {
  it('decodes the requests of RFC 7541, appendices C.3 and C.4', () => {
    const plain = new HpackDecoder();
    const start = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'];
    const first = hex('8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d');
    assert.deepEqual(decoded(plain, first), start);
    const second = hex('8286 84be 5808 6e6f 2d63 6163 6865');
    assert.deepEqual(decoded(plain, second), [...start, 'cache-control: no-cache']);
    const coded = new HpackDecoder();
    assert.deepEqual(decoded(coded, hex('8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff')), start);
    const third = decoded(coded, hex('8286 84be 5886 a8eb 1064 9cbf'));
    assert.deepEqual(third, [...start, 'cache-control: no-cache']);
    const last = hex('8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf');
    assert.deepEqual(decoded(coded, last)?.slice(2), [
      ':path: /index.html',
      ':authority: www.example.com',
      'custom-key: custom-value',
    ]);
  });

  it('evicts the oldest entries when the table is made smaller', () => {
    const decoder = new HpackDecoder();
    const added = (name: string): Uint8Array => Uint8Array.of(0x40, 1, ...ascii(name), 1, 0x79);
    decoded(decoder, block(added('a'), added('b'), added('c')));
    assert.deepEqual(decoded(decoder, Uint8Array.of(0xbe, 0xc0)), ['c: y', 'a: y']);
    assert.deepEqual(decoded(decoder, Uint8Array.of(0x20 | 31, 70 - 31, 0xbe, 0xbf)), [
      'c: y',
      'b: y',
    ]);
    assert.equal(decoded(decoder, Uint8Array.of(0xc0)), undefined);
  });

  const malformed: readonly (readonly [string, Uint8Array])[] = [
    ['index 0', Uint8Array.of(0x80)],
    ['an index beyond the table', Uint8Array.of(0xbe)],
    ['a table beyond the limit', Uint8Array.of(0x3f, 0xe2, 0x1f)],
    ['a table resized behind a field', Uint8Array.of(0x82, 0x20)],
    ['an integer without an end', Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff)],
    ['a string cut short', Uint8Array.of(0, 5, 0x61)],
    ['nothing behind a name', Uint8Array.of(0, 1, 0x61)],
    ['padding of zeros', Uint8Array.of(0, 0x81, 0x18, 0)],
  ];
  for (const [what, bytes] of malformed) {
    it(`refuses ${what}`, () => assert.equal(decoded(new HpackDecoder(), bytes), undefined));
  }

  it('refuses a block that decodes to more than it may', () => {
    const decoder = new HpackDecoder();
    const value = Uint8Array.of(0x7f, 0xb9, 0x16, ...new Uint8Array(3000).fill(0x78));
    decoded(decoder, Uint8Array.of(0x40, 1, 0x61, ...value));
    assert.equal(decoded(decoder, new Uint8Array(10).fill(0xbe))?.length, 10);
    assert.equal(decoded(decoder, new Uint8Array(100).fill(0xbe)), undefined);
  });

  it('refuses the end of a string within one, and padding of more than seven bits', () => {
    assert.equal(decodeHuffman(Uint8Array.of(0xff, 0xff, 0xff, 0xff)), undefined);
    assert.equal(decodeHuffman(Uint8Array.of(0x1f, 0xff)), undefined);
    assert.equal(decodeHuffman(Uint8Array.of(0x1f)), 'a');
  });
});

describe('A stream of HTTP/2 in the clear', () => {
  it('states the authority of each request, as a client sends it, however it is cut', async () => {
    const names = ['a.test', 'b.test', 'a.test', 'c.test:8080', 'a.test'];
    const bytes = await sentFor(names);
    for (const cut of [1, 13, 1000, bytes.length]) {
      const stream = new Inspected().push(bytes, cut);
      assert.deepEqual(stream.names, ['a.test', 'b.test', 'a.test', 'c.test', 'a.test']);
      assert.deepEqual([stream.result, stream.claims[0]?.by], ['more', 'h2c']);
      assert.deepEqual(stream.forwarded, bytes);
    }
    const refused = new Inspected((name) => name === 'a.test').push(bytes, 1);
    assert.deepEqual([refused.names, refused.result], [['a.test', 'b.test'], 'refused']);
  });

  const requests: readonly (readonly [string, Uint8Array, readonly (string | undefined)[]])[] = [
    ['a host instead', headers(1, field('host', 'A.test.')), ['a.test']],
    ['both', headers(1, A, field('host', 'a.test:80')), ['a.test']],
    ['none', headers(1, field('x', 'y')), [undefined]],
    ['an empty one', headers(1, field(':authority', '')), [undefined]],
    [
      'trailers',
      block(headers(1, A), headers(1, field('x', 'y')), headers(3, A)),
      ['a.test', 'a.test'],
    ],
    [
      'padding and priority',
      frame(
        HEADERS,
        END_HEADERS | 0x28,
        1,
        block(Uint8Array.of(2, 0, 0, 0, 0, 0), A, new Uint8Array(2)),
      ),
      ['a.test'],
    ],
    [
      'a continuation',
      block(
        frame(HEADERS, 0, 1, A.subarray(0, 5)),
        frame(CONTINUATION, 0, 1, new Uint8Array(0)),
        frame(CONTINUATION, END_HEADERS, 1, A.subarray(5)),
      ),
      ['a.test'],
    ],
  ];
  for (const [what, bytes, names] of requests) {
    it(`states the authority with ${what}`, () => {
      const all = block(ascii(PREFACE), frame(SETTINGS, 0, 0, new Uint8Array(6)), bytes);
      const stream = new Inspected().push(all, 1);
      assert.deepEqual([stream.names, stream.result], [names, 'more']);
      assert.deepEqual(stream.forwarded, all);
    });
  }

  const malformed: readonly (readonly [string, Uint8Array])[] = [
    ['another authority than host', headers(1, A, field('host', 'b.test'))],
    ['two authorities', headers(1, A, B)],
    ['an authority that is none', headers(1, field(':authority', 'a.test@b.test'))],
    ['an authority in trailers', block(headers(1, A), headers(1, B))],
    ['an even stream', headers(2, A)],
    ['a block that is none', frame(HEADERS, END_HEADERS, 1, Uint8Array.of(0x80))],
    ['a continuation of nothing', frame(CONTINUATION, END_HEADERS, 1, A)],
    [
      'a continuation of another stream',
      block(frame(HEADERS, 0, 1, A), frame(CONTINUATION, 4, 3, B)),
    ],
    [
      'settings within a block',
      block(frame(HEADERS, 0, 1, A), frame(SETTINGS, 0, 0, new Uint8Array(0))),
    ],
    ['two blocks at once', block(frame(HEADERS, 0, 1, A), headers(3, B))],
    ['a promise', frame(PUSH_PROMISE, END_HEADERS, 1, A)],
    ['more padding than payload', frame(HEADERS, END_HEADERS | 8, 1, Uint8Array.of(9, 0))],
  ];
  for (const [what, bytes] of malformed) {
    it(`is malformed with ${what}`, () => {
      assert.equal(new Inspected().push(PREFACE).push(bytes, 3).result, 'h2c-malformed');
    });
  }

  it('is malformed with another preface', () => {
    assert.equal(new Inspected().push('PRI * HTTP/2.0\r\n\r\nXX').result, 'h2c-malformed');
    assert.equal(new Inspected().push(`\r\n${PREFACE}`).result, 'http-malformed');
    assert.equal(new Inspected().push('PRI  * HTTP/2.0\r\n').result, 'http-malformed');
  });

  it('is too long with a block beyond the limit', () => {
    const part = frame(HEADERS, 0, 1, new Uint8Array(MAX_HELD - 20));
    const stream = new Inspected().push(PREFACE).push(part, 1000);
    assert.equal(stream.result, 'more');
    stream.push(frame(CONTINUATION, 0, 1, new Uint8Array(40)));
    assert.deepEqual([stream.result, stream.text], ['h2c-too-long', PREFACE]);
  });

  it('is truncated when the client ends in a block', () => {
    assert.equal(
      new Inspected().push(PREFACE).push(headers(1, A).subarray(0, 12)).end().result,
      'truncated',
    );
    assert.equal(new Inspected().push(PREFACE).end().result, 'free');
    assert.equal(new Inspected().push(PREFACE.slice(0, 16)).end().result, 'truncated');
  });

  it('never throws on hostile bytes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(12), fc.nat(255), fc.nat(5), fc.uint8Array({ maxLength: 30 }))),
        (frames) => {
          const stream = new Inspected().push(PREFACE);
          for (const [type, flags, id, payload] of frames)
            stream.push(frame(type, flags, id, payload), 2);
        },
      ),
    );
  });
});

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { MAX_HELD } from '../../../src/services/sniff/reader.ts';
import { helloRecords } from './hello-bytes.ts';
import { Inspected } from './inspected.ts';

const get = (host: string, rest = ''): string => `GET / HTTP/1.1\r\nHost: ${host}\r\n${rest}\r\n`;
const onlyA = (name: string | undefined): boolean => name === 'a.test';

describe('A stream of HTTP/1', () => {
  const requests: readonly (readonly [string, string, readonly (string | undefined)[]])[] = [
    ['one request', get('a.test'), ['a.test']],
    ['a port, capitals, a dot', get('A.Test.:8080'), ['a.test']],
    ['spaces around the host', 'GET / HTTP/1.1\r\nhOST: \t a.test \t\r\n\r\n', ['a.test']],
    ['an IPv4 address', get('192.0.2.1'), ['192.0.2.1']],
    ['an IPv6 address', get('[2001:DB8::1]:80'), ['[2001:db8::1]']],
    ['no host, as in HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', [undefined]],
    ['an empty host', get(''), [undefined]],
    ['keep-alive', get('a.test') + get('b.test') + get('a.test'), ['a.test', 'b.test', 'a.test']],
    [
      'empty lines in between',
      `\r\n${get('a.test')}\r\n\r\n${get('b.test')}`,
      ['a.test', 'b.test'],
    ],
    ['absolute-form', 'GET http://a.test:80/x HTTP/1.1\r\nHost: a.test\r\n\r\n', ['a.test']],
    ['absolute-form of HTTP/1.0', 'GET http://a.test HTTP/1.0\r\n\r\n', ['a.test']],
    ['OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n', ['a.test']],
    ['a method of its own', 'X-FOO /\xff HTTP/1.1\r\nHost: a.test\r\n\r\n', ['a.test']],
    ['CONNECT', 'CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n', ['a.test']],
    [
      'a body by its length',
      `${get('a.test', 'Content-Length: 5\r\n')}GET /${get('b.test')}`,
      ['a.test', 'b.test'],
    ],
    ['an empty body', get('a.test', 'Content-Length: 0\r\n') + get('b.test'), ['a.test', 'b.test']],
    [
      'a body in chunks',
      `${get('a.test', 'Transfer-Encoding: Chunked\r\n')}5\r\nGET /\r\nA;x="y"\r\n0123456789\r\n0\r\n\r\n${get('b.test')}`,
      ['a.test', 'b.test'],
    ],
    [
      'trailers',
      `${get('a.test', 'Transfer-Encoding: chunked\r\n')}0\r\nHost: c.test\r\n\r\n${get('b.test')}`,
      ['a.test', 'b.test'],
    ],
    [
      'an upgrade that was not taken',
      get('a.test', 'Upgrade: x\r\n') + get('b.test'),
      ['a.test', 'b.test'],
    ],
  ];
  for (const [what, bytes, names] of requests) {
    for (const cut of [1, 3, bytes.length]) {
      it(`states each request's host: ${what}, cut at ${cut}`, () => {
        const stream = new Inspected().push(bytes, cut);
        assert.deepEqual([stream.names, stream.result], [names, 'more']);
        assert.equal(stream.text, bytes);
      });
    }
  }

  const malformed: readonly (readonly [string, string])[] = [
    ['a line feed alone', 'GET / HTTP/1.1\nHost: a.test\n\n'],
    ['a line feed alone behind a field', 'GET / HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n'],
    ['a carriage return within a field', get('a.test\rX: y')],
    ['NUL in a field', get('a.test', 'X: \0\r\n')],
    ['two hosts', get('a.test', 'Host: b.test\r\n')],
    ['the same host twice', get('a.test', 'Host: a.test\r\n')],
    ['no host', 'GET / HTTP/1.1\r\n\r\n'],
    ['a host that is none', get('a.test/b.test')],
    ['two names in a host', get('a.test, b.test')],
    ['user information in a host', get('a.test@b.test')],
    ['a port that is none', get('a.test:99999')],
    ['a space before the colon', 'GET / HTTP/1.1\r\nHost : a.test\r\n\r\n'],
    ['a folded field', get('a.test', 'X: y\r\n Host: b.test\r\n')],
    ['a fold at the start', 'GET / HTTP/1.1\r\n Host: b.test\r\nHost: a.test\r\n\r\n'],
    ['a field without a colon', get('a.test', 'X\r\n')],
    ['another host in the target', 'GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    ['a target with a host and a field without', 'GET http://b.test?x HTTP/1.1\r\nHost:\r\n\r\n'],
    [
      'user information in the target',
      'GET http://a.test@b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n',
    ],
    ['a backslash in the target', 'GET http://a.test\\@b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    ['a target of no form', 'GET a.test HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    ['an asterisk for another method', 'GET * HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    ['another host in CONNECT', 'CONNECT b.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    ['CONNECT without a port', 'CONNECT a.test HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    [
      'CONNECT with a body',
      'CONNECT a.test:1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\n',
    ],
    ['two lengths', get('a.test', 'Content-Length: 5\r\nContent-Length: 5\r\n')],
    ['a list of lengths', get('a.test', 'Content-Length: 5, 5\r\n')],
    ['a signed length', get('a.test', 'Content-Length: +5\r\n')],
    ['a length and chunks', get('a.test', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n')],
    ['another encoding', get('a.test', 'Transfer-Encoding: xchunked\r\n')],
    ['two encodings', get('a.test', 'Transfer-Encoding: gzip, chunked\r\n')],
    ['chunks twice', get('a.test', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n')],
    ['chunks in HTTP/1.0', 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['another version', 'GET / HTTP/1.2\r\nHost: a.test\r\n\r\n'],
    ['a version in lower case', 'GET / http/1.1\r\nHost: a.test\r\n\r\n'],
    ['two spaces', 'GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    ['a tab', 'GET\t/ HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    ['a space in front', ' GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    ['a control byte in the target', 'GET /\x01 HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    ['HTTP/0.9', 'GET /\r\n'],
    ['a size of a chunk that is none', `${get('a.test', 'Transfer-Encoding: chunked\r\n')}0x5\r\n`],
    [
      'a size of a chunk beyond all',
      `${get('a.test', 'Transfer-Encoding: chunked\r\n')}${'f'.repeat(17)}\r\n`,
    ],
    [
      'a space behind the size of a chunk',
      `${get('a.test', 'Transfer-Encoding: chunked\r\n')}5 \r\n`,
    ],
    [
      'a chunk longer than its size',
      `${get('a.test', 'Transfer-Encoding: chunked\r\n')}1\r\nab\r\n`,
    ],
    [
      'a trailer that is no field',
      `${get('a.test', 'Transfer-Encoding: chunked\r\n')}0\r\nx\r\n\r\n`,
    ],
    ['a later line that is no request', `${get('a.test')}x\r\n`],
  ];
  for (const [what, bytes] of malformed) {
    for (const cut of [1, bytes.length]) {
      it(`is malformed with ${what}, cut at ${cut}`, () => {
        const stream = new Inspected().push(bytes, cut);
        assert.equal(stream.result, 'http-malformed');
        assert.ok(
          stream.names.length <= (bytes.includes('chunked') || bytes.endsWith('\r\nx\r\n') ? 1 : 0),
        );
      });
    }
  }

  it('sends nothing of a request on whose host is refused, and what came before it', () => {
    for (const cut of [1, get('a.test').length]) {
      const stream = new Inspected(onlyA).push(get('a.test') + get('b.test') + get('a.test'), cut);
      assert.deepEqual([stream.result, stream.text], ['refused', get('a.test')]);
    }
  });

  it('lets a body pass as it comes', () => {
    const stream = new Inspected().push(get('a.test', 'Content-Length: 100000\r\n'));
    stream.push(new Uint8Array(99_999));
    assert.equal(stream.inspector.held, 0);
    stream.push('x').push(get('b.test'));
    assert.deepEqual(stream.names, ['a.test', 'b.test']);
  });

  it('is too long with a head beyond the limit, whether in one line or in many', () => {
    const long = new Inspected().push(`GET /${'x'.repeat(MAX_HELD)}`);
    const many = new Inspected().push(get('a.test', 'X: y\r\n'.repeat(MAX_HELD / 6)), 1000);
    const whole = new Inspected().push(get('a.test', `X: ${' '.repeat(MAX_HELD - 60)}y\r\n`));
    assert.deepEqual(
      [long.result, many.result, whole.result],
      ['http-too-long', 'http-too-long', 'more'],
    );
    assert.equal(long.forwarded.length + many.forwarded.length, 0);
  });

  it('is truncated when the client ends in a head, and free between requests', () => {
    assert.equal(new Inspected().push(get('a.test').slice(0, -2)).end().result, 'truncated');
    assert.equal(new Inspected().push('GET / HTTP/1.1').end().result, 'truncated');
    assert.equal(new Inspected().push(get('a.test')).end().result, 'free');
  });

  it('reads TLS and what is none of both behind a protocol that may have changed', () => {
    const connect = 'CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n';
    const tls = new Inspected(onlyA).push(connect).push(helloRecords({ name: 'b.test' }), 1);
    assert.deepEqual([tls.names, tls.result, tls.text], [['a.test', 'b.test'], 'refused', connect]);
    const upgrade = get('a.test', 'Connection: Upgrade\r\nUpgrade: websocket\r\n');
    const frame = Uint8Array.of(0x81, 0x85, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    const socket = new Inspected(onlyA).push(upgrade).push(frame, 1);
    assert.deepEqual([socket.result, socket.forwarded.length], ['free', upgrade.length + 11]);
    const likeSsl2 = Uint8Array.of(0x81, 0x85, 1, 3, 3, 4, 5, 6, 7, 8, 9);
    assert.equal(new Inspected(onlyA).push(upgrade).push(likeSsl2, 1).result, 'free');
    const other = new Inspected(onlyA).push(upgrade + get('b.test'), 1);
    assert.deepEqual([other.result, other.text], ['refused', upgrade]);
  });

  it('is HTTP/2 with its preface, at the start or behind an upgrade', () => {
    const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
    const upgrade = get('a.test', 'Upgrade: h2c\r\n');
    assert.equal(new Inspected().push(preface, 1).text, preface);
    const upgraded = new Inspected().push(upgrade + preface, 1);
    assert.deepEqual([upgraded.result, upgraded.text], ['more', upgrade + preface]);
  });

  it('is not read behind a PROXY header', () => {
    const stream = new Inspected().push(
      `PROXY TCP4 192.0.2.1 192.0.2.2 1 80\r\n${get('a.test')}`,
      1,
    );
    assert.deepEqual([stream.result, stream.forwarded.length], ['proxy-header', 0]);
    const binary = '\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x01\x01\x01\x02\x02\x02\x02\0\x01\0\x50';
    for (const cut of [1, 5, 100]) {
      const second = new Inspected().push(`${binary}${get('a.test')}`, cut);
      assert.deepEqual([second.result, second.forwarded.length], ['proxy-header', 0]);
    }
  });

  it('reads what it is cut into as it reads the whole', () => {
    const pieces = fc.constantFrom(
      ...[
        'GET / HTTP/1.1\r\n',
        'Host: a.test\r\n',
        '\r\n',
        'Content-Length: 3\r\n',
        'abc',
        '\n',
        '\r',
      ],
      ...[
        'Transfer-Encoding: chunked\r\n',
        '3\r\nabc\r\n',
        '0\r\n\r\n',
        'Upgrade: x\r\n',
        ' ',
        '\0',
        ':',
      ],
      ...[
        'Host: b.test\r\n',
        'PRI * HTTP/2.0\r\n',
        'CONNECT a.test:1 HTTP/1.1\r\n',
        '\x16\x03\x01',
        '\x80',
      ],
    );
    const streams = fc.array(pieces, { maxLength: 14 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(streams, fc.integer({ min: 1, max: 9 }), (bytes, cut) => {
        const whole = new Inspected(onlyA).push(bytes);
        const inParts = new Inspected(onlyA).push(bytes, cut);
        assert.deepEqual([inParts.names, inParts.result], [whole.names, whole.result]);
        if (whole.result === 'more') assert.equal(inParts.text, whole.text);
        assert.ok(inParts.text.length <= bytes.length && bytes.startsWith(inParts.text));
      }),
      { numRuns: 1000 },
    );
  });

  it('takes time in proportion to what it reads', () => {
    const spaces = `X: ${' '.repeat(16_000)}y\r\n`;
    const started = performance.now();
    for (let i = 0; i < 20; i++) new Inspected().push(get('a.test', spaces));
    assert.ok(performance.now() - started < 2000);
  });
});

describe('A stream of another protocol', () => {
  const others: readonly (readonly [string, string | Uint8Array])[] = [
    ['SSH', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['SMTP', 'EHLO a.test\r\n'],
    ['Redis', '*1\r\n$4\r\nPING\r\n'],
    ['Redis, typed', 'GET key\r\n'],
    ['memcached', 'get /key\r\n'],
    ['NATS', 'CONNECT {"verbose":false}\r\n'],
    ['IMAP', 'a1 LOGIN "x" "y"\r\n'],
    ['RTSP', 'DESCRIBE rtsp://a.test/ RTSP/1.0\r\n'],
    ['PostgreSQL', Uint8Array.of(0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f)],
    ['MySQL', Uint8Array.of(0x20, 0, 0, 1, 0x85, 0xa6)],
    ['MySQL, with the length of a line end', Uint8Array.of(0x0d, 0, 0, 1)],
    ['MQTT', Uint8Array.of(0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54)],
    ['LDAP', Uint8Array.of(0x30, 0x0c, 0x02, 0x01, 0x01)],
    ['AMQP', 'AMQP\0\0\x09\x01'],
    ['telnet', Uint8Array.of(0xff, 0xfd, 0x03)],
    ['bytes that begin like TLS', Uint8Array.of(0x16, 0x04, 0x00)],
    ['bytes that begin like SSL 2', Uint8Array.of(0x80, 0x10, 0x01, 0x20)],
    ['bytes that begin like SSL 2.0', Uint8Array.of(0x80, 0x10, 0x01, 0, 3)],
    ['UTF-8', '\xc3\xa4\xc3'],
  ];
  for (const [protocol, bytes] of others) {
    it(`is free with its first bytes: ${protocol}`, () => {
      for (const cut of [1, bytes.length]) {
        const stream = new Inspected(() => assert.fail('no claim'))
          .push(bytes, cut)
          .push('GET / HTTP/1.1\r\n');
        assert.equal(stream.result, 'free');
        assert.equal(stream.forwarded.length, bytes.length + 16);
      }
    });
  }

  it('is free when the client ends before a line', () => {
    assert.deepEqual(new Inspected().push('hello').end().text, 'hello');
    assert.deepEqual(new Inspected().push(Uint8Array.of(0x16)).end().forwarded.length, 1);
    assert.equal(new Inspected().end().result, 'free');
  });
});

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import type { lookup } from 'node:dns';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo, LookupFunction } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import type { DnsForwarder, DnsForwarderOptions } from '../../../../src/proxy/dns/forwarder.ts';
import type { ResolutionTiming } from '../../../../src/proxy/dns/resolution.ts';
import { MAX_STREAMS } from '../../../../src/proxy/dns/secure/https-connection.ts';
import { HostLookup } from '../../../../src/proxy/host-lookup.ts';
import { NOERROR, SERVFAIL } from '../../../../src/services/dns/message.ts';
import type { DnsUpstream } from '../../../../src/services/dns/resolv-conf.ts';
import { a, dataOf, queryBytes, rcodeOf, replyBytes } from '../../../services/dns/dns-wire.ts';
import { RecordingLog } from '../../../support/recording-log.ts';
import { describeNeeding } from '../../../support/requirements.ts';
import { Bind, dig, makeCertificate, serve } from '../bind.ts';
import { FakeUpstream, makeForwarder, resolve, until } from '../lab.ts';
import { itKeepsAConnection } from './connection-rules.ts';
import { type Asked, answer, HttpsServer } from './https-server.ts';
import { Relay } from './relay.ts';

const NAME = 'a.example';
/** RFC 9113 §7. */
const REFUSED_STREAM = 7;
const TIMING = { attemptMs: 1000, deadlineMs: 2500 };
const says =
  (data: string) =>
  (asked: Asked): void =>
    answer(asked, replyBytes(asked.query, { answers: [a(NAME, data)] }));
const silent = (): void => {};

describeNeeding('an upstream by DNS over HTTPS: BIND', ['named', 'dig', 'openssl'], () => {
  let bind: Bind;
  let relay: Relay;
  const closing: (() => void)[] = [];

  before(async () => {
    bind = await Bind.start();
  });
  after(() => bind.stop());
  beforeEach(() => {
    relay = new Relay(bind.httpsServer);
  });
  afterEach(async () => {
    for (const close of closing.splice(0)) close();
    await relay.stop().catch(() => {});
  });

  async function guestOf(
    upstreams: readonly DnsUpstream[],
    timing: ResolutionTiming = TIMING,
  ): Promise<DnsUpstream> {
    const tlsAuthorities = bind.certificate;
    const forwarder = makeForwarder({ upstreams, tlsAuthorities, timing });
    const { server, close } = await serve(forwarder);
    closing.push(close, () => forwarder.close());
    return server;
  }

  it('answers by UDP and TCP, on one connection that no name can be read from', async () => {
    const server = await guestOf([await relay.start()]);
    const names = ['www', 'v4only', 'mail', 'alias', 'big'];
    const asked = names.map((name, i) =>
      dig(server, [`${name}.test.example`, ...(i % 2 === 0 ? ['+notcp'] : ['+tcp'])]),
    );
    for (const { status } of await Promise.all(asked)) assert.equal(status, 'NOERROR');
    assert.equal((await dig(server, ['nothing.test.example'])).status, 'NXDOMAIN');
    const long = await dig(server, ['+tcp', 'big.test.example', 'TXT']);
    assert.ok(long.size > 3000, `${long.size} bytes`);
    assert.equal(relay.connections.length, 1);
    assert.equal(relay.bytesToServer.includes('v4only'), false);
  });

  itKeepsAConnection({
    relay: () => relay,
    renewRelay: () => {
      relay = new Relay(bind.httpsServer);
      return relay;
    },
    guestOf,
  });

  it('is never asked in the clear, nor without HTTP', async () => {
    const { tlsName, httpsPath } = bind.httpsServer;
    for (const place of [bind.server, bind.tlsServer]) {
      const server = await guestOf([{ ...place, tlsName, httpsPath }]);
      assert.equal((await dig(server, ['www.test.example'])).status, 'SERVFAIL');
    }
  });

  it('is left for the next where it has another path', async () => {
    const server = await guestOf([{ ...bind.httpsServer, httpsPath: '/none' }, bind.tlsServer]);
    assert.equal((await dig(server, ['www.test.example'])).status, 'NOERROR');
  });
});

describeNeeding('an upstream by DNS over HTTPS', ['openssl'], () => {
  let directory: string;
  let keys: ReturnType<typeof makeCertificate>;
  const log = new RecordingLog();
  const stops: (() => void | Promise<void>)[] = [];

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'hawser-https-'));
    keys = makeCertificate(directory);
  });
  after(() => rmSync(directory, { recursive: true }));
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
    log.lines.length = 0;
  });

  async function serverThat(
    behave: (asked: Asked) => void,
    streams?: number,
  ): Promise<readonly [HttpsServer, DnsUpstream]> {
    const server = new HttpsServer(keys, behave, streams);
    const upstream = await server.start();
    stops.push(() => server.stop());
    return [server, upstream];
  }

  function forwarderTo(
    upstreams: readonly DnsUpstream[],
    options: Partial<DnsForwarderOptions> = {},
  ): DnsForwarder {
    const tlsAuthorities = readFileSync(keys.certificate, 'utf8');
    const forwarder = makeForwarder({ upstreams, tlsAuthorities, log, timing: TIMING, ...options });
    stops.push(() => forwarder.close());
    return forwarder;
  }

  it('is asked by POST, with the id 0, for the media type of DNS', async () => {
    const [server, upstream] = await serverThat(says('192.0.2.1'));
    const reply = await resolve(forwarderTo([upstream]), queryBytes(NAME, 'A', { id: 0x1234 }));
    assert.deepEqual(dataOf(reply), ['192.0.2.1']);
    assert.deepEqual([reply[0], reply[1]], [0x12, 0x34]);
    const [asked] = server.asked;
    assert.deepEqual([...(asked?.query ?? []).slice(0, 2)], [0, 0]);
    assert.equal(asked?.headers[':method'], 'POST');
    assert.equal(asked?.headers[':path'], '/dns-query');
    assert.equal(asked?.headers[':authority'], `dns.example:${upstream.port}`);
    assert.equal(asked?.headers['content-type'], 'application/dns-message');
    assert.equal(asked?.headers.accept, 'application/dns-message');
    assert.equal(asked?.headers['content-length'], String(asked?.query.length));
  });

  it('is asked again at once what it has refused unseen, and no third time', async () => {
    const refuse = ({ stream }: Asked): void => stream.close(REFUSED_STREAM);
    const [server, upstream] = await serverThat((asked) => {
      server.behave = says('192.0.2.1');
      refuse(asked);
    });
    const forwarder = forwarderTo([upstream]);
    assert.deepEqual(dataOf(await resolve(forwarder, queryBytes(NAME))), ['192.0.2.1']);
    server.behave = refuse;
    assert.equal(rcodeOf(await resolve(forwarder, queryBytes('b.example'))), SERVFAIL);
    assert.equal(server.asked.length, 4);
    assert.equal(server.sessions.length, 1);
  });

  const BAD: readonly (readonly [string, (asked: Asked) => void])[] = [
    ['an error of HTTP', (asked) => answer(asked, replyBytes(asked.query), { ':status': 503 })],
    [
      'a redirection',
      (asked) => answer(asked, new Uint8Array(0), { ':status': 302, location: '/elsewhere' }),
    ],
    ['a page', (asked) => answer(asked, Buffer.from('<p>'), { 'content-type': 'text/html' })],
    ['nothing', (asked) => answer(asked, new Uint8Array(0))],
    ['the answer to another query', (asked) => answer(asked, replyBytes(queryBytes('b.example')))],
    ['more than a message holds', (asked) => answer(asked, new Uint8Array(1 << 20))],
    ['a reset', ({ stream }) => stream.close(2)],
    ['the end of the connection', ({ stream }) => stream.session?.destroy()],
  ];
  for (const [what, behave] of BAD) {
    it(`is left for the next where it answers by ${what}`, async () => {
      const [bad, first] = await serverThat(behave);
      const [, second] = await serverThat(says('192.0.2.2'));
      const forwarder = forwarderTo([first, second]);
      assert.deepEqual(dataOf(await resolve(forwarder, queryBytes(NAME))), ['192.0.2.2']);
      assert.equal(bad.asked.length, 1);
      assert.equal(forwarder.waitingCount, 0);
    });
  }

  it('is left where it is dead, and asked again later', async () => {
    let nowMs = 0;
    const [first, dead] = await serverThat(silent);
    const [second, other] = await serverThat(says('192.0.2.2'));
    const forwarder = forwarderTo([dead, other], {
      now: () => nowMs,
      timing: { attemptMs: 500, deadlineMs: 20_000 },
    });
    const ask = async (name: string): Promise<number> =>
      rcodeOf(await resolve(forwarder, queryBytes(name)));
    assert.equal(await ask('1.example'), NOERROR);
    assert.equal(first.asked.length, 1);
    for (const name of ['2.example', '3.example']) assert.equal(await ask(name), NOERROR);
    assert.equal(first.asked.length, 1, 'it is left');
    nowMs += 30_001;
    first.behave = says('192.0.2.1');
    const seen = second.asked.length;
    for (const name of ['4.example', '5.example']) assert.equal(await ask(name), NOERROR);
    assert.equal(second.asked.length, seen, 'it is asked again');
    assert.equal(first.asked.length, 3);
  });

  it('has so many queries under way at most, and the others when it is their turn', async () => {
    const held: Asked[] = [];
    const [server, upstream] = await serverThat((asked) => held.push(asked), 1000);
    const forwarder = forwarderTo([upstream], {
      timing: { attemptMs: 20_000, deadlineMs: 20_000 },
    });
    const queries = 3 * MAX_STREAMS;
    const replies = Array.from({ length: queries }, (_, i) =>
      resolve(forwarder, queryBytes(`${i}.example`)),
    );
    let most = 0;
    for (let done = 0; done < queries; ) {
      await until(() => held.length >= Math.min(MAX_STREAMS, queries - done));
      most = Math.max(most, held.length);
      for (const asked of held.splice(0)) {
        answer(asked, replyBytes(asked.query));
        done++;
      }
    }
    for (const reply of await Promise.all(replies)) assert.equal(rcodeOf(reply), NOERROR);
    assert.equal(most, MAX_STREAMS);
    assert.equal(server.sessions.length, 1);
  });

  it('has no more under way than it allows', async () => {
    let now = 0;
    let most = 0;
    const [server, upstream] = await serverThat((asked) => {
      most = Math.max(most, ++now);
      setImmediate(() => {
        now--;
        answer(asked, replyBytes(asked.query));
      });
    }, 2);
    const forwarder = forwarderTo([upstream]);
    await resolve(forwarder, queryBytes('first.example'));
    const names = Array.from({ length: 20 }, (_, i) => `${i}.example`);
    const replies = await Promise.all(names.map((name) => resolve(forwarder, queryBytes(name))));
    for (const reply of replies) assert.equal(rcodeOf(reply), NOERROR);
    assert.ok(most <= 2, `${most} at a time`);
    assert.equal(server.sessions.length, 1);
  });

  it('is asked on a new connection where it says good-bye', async () => {
    const [server, upstream] = await serverThat(says('192.0.2.1'));
    const forwarder = forwarderTo([upstream]);
    await resolve(forwarder, queryBytes('1.example'));
    server.sessions[0]?.goaway();
    for (const name of ['2.example', '3.example']) {
      assert.equal(rcodeOf(await resolve(forwarder, queryBytes(name))), NOERROR);
    }
    assert.equal(server.sessions.length, 2);
  });

  it('frees what it holds where those who asked have given up', async () => {
    const [server, upstream] = await serverThat(silent);
    const forwarder = forwarderTo([upstream], { timing: { attemptMs: 50, deadlineMs: 200 } });
    assert.equal(rcodeOf(await resolve(forwarder, queryBytes(NAME))), SERVFAIL);
    await until(() => server.asked.every(({ stream }) => stream.closed));
  });

  it('by name: it is found by the host, once for many, and again after an offline start', async () => {
    let isOnline = false;
    let lookups = 0;
    const find = ((_host: string, _options: object, callback: Parameters<LookupFunction>[2]) => {
      lookups++;
      setImmediate(() => {
        if (isOnline) callback(null, [{ address: '127.0.0.1', family: 4 }]);
        else callback(Object.assign(new Error('offline'), { code: 'EAI_AGAIN' }), []);
      });
    }) as unknown as typeof lookup;
    const [server, { port, httpsPath }] = await serverThat(says('192.0.2.1'));
    const named = { address: 'dns.example', port, tlsName: 'dns.example', httpsPath };
    const forwarder = forwarderTo([named], { lookup: new HostLookup(find) });
    const ask = (name: string): Promise<Uint8Array> => resolve(forwarder, queryBytes(name));
    const offline = await Promise.all(['1.example', '2.example', '3.example'].map(ask));
    for (const reply of offline) assert.equal(rcodeOf(reply), SERVFAIL);
    assert.ok(lookups <= 3, `${lookups} lookups`);
    assert.equal(server.asked.length, 0);
    isOnline = true;
    lookups = 0;
    const online = await Promise.all(['4.example', '5.example'].map(ask));
    for (const reply of online) assert.equal(rcodeOf(reply), NOERROR);
    assert.equal(lookups, 1);
    assert.equal(server.sessions.length, 1);
  });

  for (const [what, change, problem] of [
    ['another name', { tlsName: 'other.example' }, /is not for other\.example/],
    ['no address', { tlsName: '127.0.0.1' }, /is not for 127\.0\.0\.1/],
  ] as const) {
    it(`is told nothing where its certificate is for ${what}, which is logged once`, async () => {
      const [server, upstream] = await serverThat(says('192.0.2.1'));
      const forwarder = forwarderTo([{ ...upstream, ...change }]);
      for (const name of ['1.example', '2.example']) {
        assert.equal(rcodeOf(await resolve(forwarder, queryBytes(name))), SERVFAIL);
      }
      assert.equal(server.asked.length, 0);
      const warnings = log.lines.filter(({ level }) => level === 'warn');
      assert.equal(warnings.length, 1);
      assert.match(warnings[0]?.message ?? '', problem);
    });
  }

  it('is told nothing where nobody vouches for it, or no longer', async () => {
    const [server, upstream] = await serverThat(says('192.0.2.1'));
    const unknown = forwarderTo([upstream], { tlsAuthorities: undefined });
    assert.equal(rcodeOf(await resolve(unknown, queryBytes(NAME))), SERVFAIL);
    const path = mkdtempSync(join(directory, 'expired-'));
    const expired = makeCertificate(path);
    const { key, certificate } = expired;
    const signed = ['x509', '-in', certificate, '-signkey', key, '-days', '-1'];
    execFileSync('openssl', [...signed, '-out', certificate], { stdio: 'ignore' });
    const old = new HttpsServer(expired, says('192.0.2.1'));
    const oldUpstream = await old.start();
    stops.push(() => old.stop());
    const tlsAuthorities = readFileSync(expired.certificate, 'utf8');
    const forwarder = forwarderTo([oldUpstream], { tlsAuthorities });
    assert.equal(rcodeOf(await resolve(forwarder, queryBytes(NAME))), SERVFAIL);
    assert.equal(server.asked.length + old.asked.length, 0);
    const told = log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
    assert.equal(told.length, 2);
    assert.match(told[0] ?? '', /signed by itself/);
    assert.match(told[1] ?? '', /has expired/);
  });

  it('is told nothing where it speaks no HTTP/2', async () => {
    const key = readFileSync(keys.key);
    const cert = readFileSync(keys.certificate);
    let bytes = 0;
    const server = createTlsServer({ key, cert }, (socket) => {
      socket.on('data', ({ length }) => {
        bytes += length;
      });
      socket.on('error', () => {});
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    stops.push(() => {
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    const upstream = { address: '127.0.0.1', port, tlsName: 'dns.example', httpsPath: '/' };
    const forwarder = forwarderTo([upstream]);
    assert.equal(rcodeOf(await resolve(forwarder, queryBytes(NAME))), SERVFAIL);
    assert.equal(bytes, 0);
  });

  it('is not replaced by the clear where a plain server is beside it, unless that is named', async () => {
    const plain = await new FakeUpstream((query) => [replyBytes(query)]).start();
    stops.push(() => plain.stop());
    const forwarder = forwarderTo([{ ...plain.server, tlsName: 'dns.example', httpsPath: '/' }]);
    assert.equal(rcodeOf(await resolve(forwarder, queryBytes(NAME))), SERVFAIL);
    assert.equal(plain.seen.includes('udp'), false);
  });
});

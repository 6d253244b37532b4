import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { Budget } from '../../../src/base/shares/budget.ts';
import type { DnsForwarder, DnsForwarderOptions } from '../../../src/proxy/dns/forwarder.ts';
import { parseAddress } from '../../../src/services/address-text.ts';
import { LocalNames } from '../../../src/services/dns/local-names.ts';
import { plainQuery } from '../../../src/services/dns/plain-query.ts';
import { fitUdp, TTL_MAX_S } from '../../../src/services/dns/surgery.ts';
import { a, dataOf, queryBytes, rcodeOf, replyBytes, unpack } from '../../services/dns/dns-wire.ts';
import { RecordingLog } from '../../support/recording-log.ts';
import { testGuest } from '../../support/test-guest.ts';
import { OWNER } from '../recording.ts';
import { type Behaviour, FakeUpstream, makeForwarder, resolve, until } from './lab.ts';

const NAME = 'a.example';
const says =
  (data: string): Behaviour =>
  (asked) => [replyBytes(asked, { answers: [a(NAME, data)] })];
const fails =
  (rcode: number): Behaviour =>
  (asked) => [replyBytes(asked, { rcode })];
const silent: Behaviour = () => [];
/** For tests in which somebody is silent. */
const SOON = { timing: { attemptMs: 20, deadlineMs: 150 } };
/** Where an answer is expected, on a machine that is busy as well. */
const PATIENT = { timing: { attemptMs: 20, deadlineMs: 1_500 } };
/** Where sockets are counted: an answer that is late on a busy machine is not asked for by a second one. */
const ONCE = { timing: { attemptMs: 1_000, deadlineMs: 2_000 } };

describe('DNS forwarder', () => {
  const stops: (() => void)[] = [];
  afterEach(() => {
    for (const stop of stops.splice(0)) stop();
  });

  async function upstream(behave: Behaviour): Promise<FakeUpstream> {
    const fake = await new FakeUpstream(behave).start();
    stops.push(() => fake.stop());
    return fake;
  }

  function forwarderTo(
    servers: readonly FakeUpstream[],
    options: Partial<DnsForwarderOptions> = {},
  ): DnsForwarder {
    const forwarder = makeForwarder({ upstreams: servers.map(({ server }) => server), ...options });
    stops.push(() => forwarder.close());
    return forwarder;
  }

  it('passes the answer on byte by byte, under the id of the client', async () => {
    const asked = queryBytes(NAME, 'MX', { id: 0x1234, udpSize: 1232, cookie: true });
    // An unknown type, compressed names, odd flags and trailing bytes.
    const odd = Uint8Array.of(0xc0, 12, 0xff, 0x01, 0, 1, 0, 0, 0, 9, 0, 3, 1, 2, 3, 0xee);
    const make = (query: Uint8Array): Uint8Array => {
      const reply = Uint8Array.from([...replyBytes(query, { flags: 0x5f0 }), ...odd]);
      reply[7] = 1;
      return reply;
    };
    const forwarder = forwarderTo([await upstream((query) => [make(query)])]);
    assert.deepEqual(await resolve(forwarder, asked), make(asked));
  });

  it('under a policy that denies names, asks in lower case and answers in the case of the client', async () => {
    const policy = {
      refusesUnreadable: true,
      refusal: () => undefined,
      excess: () => undefined,
      sent: plainQuery,
      police: (_owner: unknown, _query: unknown, reply: Uint8Array) => reply,
      policeKept: (_owner: unknown, _query: unknown, reply: Uint8Array) => reply,
    };
    const heard: (string | undefined)[] = [];
    const server = await upstream((asked) => {
      heard.push(unpack(asked).questions?.[0]?.name);
      return [replyBytes(asked, { answers: [a(NAME, '192.0.2.1')] })];
    });
    const nowhere = forwarderTo([], { policy });
    const forwarder = forwarderTo([server], { policy });
    for (const name of ['A.exAMPle', 'a.EXAMPLE']) {
      const { questions } = unpack(await resolve(forwarder, queryBytes(name)));
      assert.equal(questions?.[0]?.name, name);
      const failure = unpack(await resolve(nowhere, queryBytes(name)));
      assert.equal(failure.questions?.[0]?.name, name);
    }
    assert.deepEqual(heard, [NAME]);
  });

  for (const [name, rcode] of [
    ['NXDOMAIN', 3],
    ['empty NOERROR', 0],
    ['FORMERR', 1],
    ['SERVFAIL', 2],
    ['REFUSED', 5],
    ['YXDOMAIN', 6],
  ] as const) {
    it(`passes ${name} on as it is`, async () => {
      const forwarder = forwarderTo([await upstream(fails(rcode))]);
      assert.equal(rcodeOf(await resolve(forwarder, queryBytes(NAME))), rcode);
    });
  }

  it('answers SERVFAIL, never NXDOMAIN, when no upstream answers', async () => {
    const forwarder = forwarderTo([await upstream(silent), await upstream(silent)], SOON);
    const reply = await resolve(forwarder, queryBytes(NAME, 'A', { id: 5, udpSize: 1232 }));
    const { id, questions, additionals } = unpack(reply);
    assert.equal(rcodeOf(reply), 2);
    assert.deepEqual([id, questions?.[0]?.name, additionals?.[0]?.type], [5, NAME, 'OPT']);
    assert.equal(forwarder.waitingCount, 0);
  });

  it('failures and names that there are not are logged for debugging', async () => {
    const log = new RecordingLog();
    const forwarder = forwarderTo([await upstream(fails(3))], { log });
    await resolve(forwarder, queryBytes(NAME));
    const nowhere = forwarderTo([], { log });
    await resolve(nowhere, queryBytes(NAME));
    const lines = log.lines.filter(({ level }) => level === 'debug');
    assert.deepEqual(
      lines.map(({ message }) => message),
      ['DNS query refused', 'DNS query failed'],
    );
    assert.deepEqual(lines[0]?.fields, { name: NAME, type: 1, rcode: 'NXDOMAIN' });
  });

  it('answers SERVFAIL at once when every upstream is unreachable', async () => {
    const gone = await new FakeUpstream(silent).start();
    const { server } = gone;
    gone.stop();
    const forwarder = makeForwarder({
      upstreams: [server],
      timing: { attemptMs: 60_000, deadlineMs: 60_000 },
    });
    stops.push(() => forwarder.close());
    assert.equal(rcodeOf(await resolve(forwarder, queryBytes(NAME))), 2);
  });

  for (const [what, behave] of [
    ['is silent', silent],
    ['says SERVFAIL', fails(2)],
    ['says REFUSED', fails(5)],
    ['answers another question', says('6.6.6.6')],
  ] as const) {
    it(`asks the next upstream when the first ${what}`, async () => {
      const wrong: Behaviour = () => says('6.6.6.6')(queryBytes('other.example'), 'udp');
      const first = await upstream(what.startsWith('answers') ? wrong : behave);
      const forwarder = forwarderTo([first, await upstream(says('1.1.1.1'))], PATIENT);
      assert.deepEqual(dataOf(await resolve(forwarder, queryBytes(NAME))), ['1.1.1.1']);
      assert.ok(first.seen.length > 0);
    });
  }

  it('asks a silent upstream last from then on, until it answers', async () => {
    const first = await upstream(silent);
    const second = await upstream(says('1.1.1.1'));
    const forwarder = forwarderTo([first, second], PATIENT);
    await resolve(forwarder, queryBytes('one.example'));
    const before = first.seen.length;
    await resolve(forwarder, queryBytes('two.example'));
    assert.equal(first.seen.length, before);
  });

  it('asks a lone upstream again when a datagram was lost', async () => {
    let dropped = 0;
    const lossy = await upstream((asked, transport) =>
      dropped++ === 0 ? [] : says('1.1.1.1')(asked, transport),
    );
    assert.deepEqual(dataOf(await resolve(forwarderTo([lossy], PATIENT), queryBytes(NAME))), [
      '1.1.1.1',
    ]);
  });

  it('takes a late answer of an upstream that was given up on', async () => {
    const slow = await upstream(silent);
    const forwarder = forwarderTo([slow, await upstream(silent)], SOON);
    let first: Uint8Array | undefined;
    slow.behave = (asked) => {
      if (first === undefined) {
        first = asked.slice();
        return [];
      }
      return says('1.1.1.1')(asked, 'udp');
    };
    assert.deepEqual(dataOf(await resolve(forwarder, queryBytes(NAME))), ['1.1.1.1']);
  });

  it('ignores an answer with a wrong id: a forger has to guess it', async () => {
    const forged = await upstream((asked) => {
      const bad = replyBytes(asked, { answers: [a(NAME, '6.6.6.6')] });
      bad[1] = (bad[1] ?? 0) ^ 1;
      return [bad, replyBytes(asked, { answers: [a(NAME, '1.1.1.1')] })];
    });
    assert.deepEqual(dataOf(await resolve(forwarderTo([forged]), queryBytes(NAME))), ['1.1.1.1']);
  });

  it('uses another id and another port for each query', async () => {
    const server = await upstream(says('1.1.1.1'));
    const forwarder = forwarderTo([server]);
    for (let i = 0; i < 20; i++) await resolve(forwarder, queryBytes(`n${i}.example`));
    assert.ok(server.ids.size > 15 && server.ports.size > 15);
  });

  const many = Array.from({ length: 200 }, (_, i) => a(NAME, `10.0.0.${i}`));
  const truncates: Behaviour = (asked, transport) => {
    const whole = replyBytes(asked, { answers: many });
    return [transport === 'tcp' ? whole : fitUdp(whole, 512)];
  };

  it('fetches a truncated answer by TCP for a client that came by TCP, and never cuts it', async () => {
    const server = await upstream(truncates);
    const reply = await resolve(forwarderTo([server]), queryBytes(NAME), 'tcp');
    assert.equal(dataOf(reply).length, 200);
    assert.equal(unpack(reply).flag_tc, false);
    assert.deepEqual(server.seen, ['udp', 'tcp']);
  });

  it('passes a truncated answer on to a client that came by UDP, and does not cache it', async () => {
    const server = await upstream(truncates);
    const forwarder = forwarderTo([server]);
    const reply = await resolve(forwarder, queryBytes(NAME));
    assert.equal(unpack(reply).flag_tc, true);
    assert.deepEqual(server.seen, ['udp']);
    assert.equal(forwarder.cache.size, 0);
  });

  it('hands out no TTL for longer than the names of guests are known', async () => {
    const answers = [a(NAME, '192.0.2.1', 86_400)];
    const server = await upstream((asked) => [replyBytes(asked, { answers })]);
    const forwarder = forwarderTo([server]);
    for (const _again of [1, 2]) {
      const [answer] = unpack(await resolve(forwarder, queryBytes(NAME))).answers ?? [];
      assert.ok(answer?.type === 'A' && answer.ttl === TTL_MAX_S);
    }
    assert.equal(server.seen.length, 1);
  });

  it('cuts a large cached answer to the size of each UDP client', async () => {
    const server = await upstream((asked) => [replyBytes(asked, { answers: many })]);
    const forwarder = forwarderTo([server]);
    await resolve(forwarder, queryBytes(NAME, 'A', { udpSize: 4096 }), 'tcp');
    const whole = await resolve(forwarder, queryBytes(NAME, 'A', { udpSize: 8192 }));
    const cut = await resolve(forwarder, queryBytes(NAME, 'A', { udpSize: 700 }));
    assert.equal(server.seen.length, 1);
    assert.equal(dataOf(whole).length, 200);
    assert.ok(cut.length <= 700 && unpack(cut).flag_tc);
  });

  it('asks once for identical queries under way, and answers each under its id', async () => {
    const server = await upstream(says('1.1.1.1'));
    const forwarder = forwarderTo([server]);
    const ids = [1, 2, 3];
    const replies = await Promise.all(
      ids.map((id) => resolve(forwarder, queryBytes(NAME, 'A', { id }))),
    );
    assert.deepEqual(
      replies.map((reply) => unpack(reply).id),
      ids,
    );
    assert.equal(server.seen.length, 1);
    assert.equal(forwarder.counts.get('joined'), 2);
  });

  it('refuses with SERVFAIL what is above the limit of waiting queries', async () => {
    const forwarder = forwarderTo([await upstream(silent)], { ...SOON, maxWaiting: 3 });
    const codes: number[] = [];
    for (let i = 0; i < 5; i++) {
      forwarder.query(queryBytes(`n${i}.example`), 'udp', OWNER, (reply) =>
        codes.push(rcodeOf(reply)),
      );
    }
    assert.deepEqual(codes, [2, 2]);
    assert.equal(forwarder.counts.get('too-many-waiting'), 2);
    await until(() => forwarder.waitingCount === 0);
  });

  for (const [what, options] of [
    ['places', { maxWaiting: 20 }],
    ['sockets', { sockets: new Budget('sockets', 20) }],
  ] as const) {
    it(`the guest that fills all ${what} gives way to another, which is answered`, async () => {
      const server = await upstream((asked, transport) =>
        unpack(asked).questions?.[0]?.name.startsWith('good') === true
          ? says('1.1.1.1')(asked, transport)
          : [],
      );
      const forwarder = forwarderTo([server], { ...ONCE, ...options });
      const codes: number[] = [];
      for (let i = 0; i < 30; i++) {
        forwarder.query(queryBytes(`evil${i}.example`), 'udp', OWNER, (reply) =>
          codes.push(rcodeOf(reply)),
        );
      }
      const good = testGuest();
      const answers = await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          resolve(forwarder, queryBytes(`good${i}.example`), 'udp', good),
        ),
      );
      for (const answer of answers) assert.deepEqual(dataOf(answer), ['1.1.1.1']);
      await until(() => forwarder.waitingCount === 0);
      assert.ok(codes.length === 30 && codes.every((code) => code === 2), `${codes}`);
      assert.equal(forwarder.counts.get('evicted'), 10);
      assert.equal(good.owner.holds, false);
    });
  }

  it('a guest gives way whose oldest query could not have a socket itself', async () => {
    const server = await upstream((asked, transport) =>
      unpack(asked).questions?.[0]?.name === 'good.example'
        ? says('1.1.1.1')(asked, transport)
        : [],
    );
    const sockets = new Budget('sockets', 20);
    const forwarder = forwarderTo([server], { ...ONCE, sockets });
    const ask = (name: string): void => {
      forwarder.query(queryBytes(name), 'udp', OWNER, () => {});
    };
    sockets.host.take(20);
    ask('none-left.example');
    sockets.host.give(20);
    for (let i = 0; i < 20; i++) ask(`evil${i}.example`);
    const answer = await resolve(forwarder, queryBytes('good.example'), 'udp', testGuest());
    assert.deepEqual(dataOf(answer), ['1.1.1.1']);
    assert.equal(forwarder.counts.get('evicted'), 1);
    await until(() => forwarder.waitingCount === 0);
  });

  it('answers local names without asking anyone', async () => {
    const gateway = parseAddress('10.0.0.1');
    assert.ok(gateway);
    const names = new LocalNames({ gateway: [gateway], host: [], zones: [] });
    const server = await upstream(says('6.6.6.6'));
    const forwarder = forwarderTo([server], { names });
    const asked = queryBytes('Gateway.Docker.Internal');
    assert.deepEqual(dataOf(await resolve(forwarder, asked)), ['10.0.0.1']);
    assert.equal(server.seen.length, 0);
  });

  it('passes other opcodes and several questions on as they are', async () => {
    const server = await upstream((asked) => {
      const reply = asked.slice();
      reply[2] = (reply[2] ?? 0) | 0x80;
      return [reply];
    });
    const forwarder = forwarderTo([server]);
    const notify = queryBytes(NAME, 'SOA', { id: 9, flags: 0x2000 });
    const reply = await resolve(forwarder, notify);
    assert.deepEqual(reply.subarray(3), notify.subarray(3));
    assert.equal(forwarder.cache.size, 0);
  });

  it('answers FORMERR to what it cannot read, NOTIMP to zone transfers, nothing to responses', async () => {
    const forwarder = forwarderTo([]);
    const cut = queryBytes(NAME, 'A', { id: 0x0102 }).subarray(0, 15);
    assert.deepEqual([...(await resolve(forwarder, cut))].slice(0, 4), [1, 2, 0x81, 0x81]);
    assert.equal(rcodeOf(await resolve(forwarder, queryBytes(NAME, 'AXFR'), 'tcp')), 4);
    const fail = (): void => assert.fail('answered');
    assert.equal(forwarder.query(replyBytes(queryBytes(NAME)), 'udp', OWNER, fail), false);
    assert.equal(forwarder.query(new Uint8Array(5), 'udp', OWNER, fail), false);
  });

  it('never throws on hostile bytes', () => {
    const forwarder = forwarderTo([]);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.boolean(), (bytes, udp) => {
        forwarder.query(bytes, udp ? 'udp' : 'tcp', OWNER, (reply) =>
          assert.ok(reply.length >= 12),
        );
      }),
    );
  });

  describe('and the resolver configuration of the host', () => {
    let directory: string;
    let path: string;
    beforeEach(() => {
      directory = mkdtempSync(join(tmpdir(), 'hawser-resolv-'));
      path = join(directory, 'resolv.conf');
    });
    afterEach(() => rmSync(directory, { recursive: true }));

    const text = (servers: readonly FakeUpstream[], search = 'x'): string =>
      `${servers.map(({ server }) => `nameserver ${server.address}#${server.port}`).join('\n')}\nsearch ${search}\n`;

    const REWRITES: readonly (readonly [string, (text: string) => void])[] = [
      ['rewritten in place', (content) => writeFileSync(path, content)],
      [
        'replaced by rename',
        (content) => {
          writeFileSync(`${path}.new`, content);
          renameSync(`${path}.new`, path);
        },
      ],
      [
        'made a symbolic link',
        (content) => {
          const target = join(directory, 'target');
          writeFileSync(target, content);
          rmSync(path);
          symlinkSync(target, path);
        },
      ],
    ];
    for (const [how, rewrite] of REWRITES) {
      it(`follows a file ${how}, without restart, and forgets its cache`, async () => {
        const [first, second] = [await upstream(says('1.1.1.1')), await upstream(says('2.2.2.2'))];
        writeFileSync(path, text([first]));
        const searches: string[] = [];
        const forwarder = makeForwarder({
          resolvConf: path,
          onSearch: ([name = '']) => searches.push(name),
        });
        stops.push(() => forwarder.close());
        assert.deepEqual(dataOf(await resolve(forwarder, queryBytes(NAME))), ['1.1.1.1']);
        rewrite(text([second], 'y'));
        await until(() => forwarder.upstreams[0]?.port === second.server.port);
        assert.deepEqual(dataOf(await resolve(forwarder, queryBytes(NAME))), ['2.2.2.2']);
        assert.deepEqual(searches, ['x', 'y']);
      });
    }

    const withOptions = (options: string, ...servers: FakeUpstream[]): DnsForwarder => {
      writeFileSync(path, `${text(servers)}options ${options}\n`);
      const forwarder = makeForwarder({ resolvConf: path, timing: undefined });
      stops.push(() => forwarder.close());
      return forwarder;
    };

    for (const timeout of [2, 5, 30]) {
      it(`timeout:${timeout} leaves the second its turn, and the first is asked last from then on`, async () => {
        const [first, second] = [await upstream(silent), await upstream(says('1.1.1.1'))];
        const forwarder = withOptions(`timeout:${timeout}`, first, second);
        assert.deepEqual(dataOf(await resolve(forwarder, queryBytes('one.example'))), ['1.1.1.1']);
        const before = first.seen.length;
        assert.deepEqual(dataOf(await resolve(forwarder, queryBytes('two.example'))), ['1.1.1.1']);
        assert.equal(first.seen.length, before);
      });
    }

    it('attempts: each is asked so often, and then it is SERVFAIL', async () => {
      const server = await upstream(silent);
      const forwarder = withOptions('timeout:1 attempts:2', server);
      const since = performance.now();
      assert.equal(rcodeOf(await resolve(forwarder, queryBytes(NAME))), 2);
      assert.equal(server.seen.length, 2);
      assert.ok(performance.now() - since < 3500);
    });

    it('rotate: each query begins with another server, but not with one that is silent', async () => {
      const servers = [await upstream(says('1.1.1.1')), await upstream(says('2.2.2.2'))];
      const forwarder = withOptions('rotate', ...servers);
      for (let i = 0; i < 6; i++) await resolve(forwarder, queryBytes(`n${i}.example`));
      assert.deepEqual(
        servers.map(({ seen }) => seen.length),
        [3, 3],
      );
    });

    it('use-vc: servers are asked by TCP only', async () => {
      const server = await upstream(says('1.1.1.1'));
      const forwarder = withOptions('use-vc', server);
      assert.deepEqual(dataOf(await resolve(forwarder, queryBytes(NAME))), ['1.1.1.1']);
      assert.deepEqual(server.seen, ['tcp']);
    });

    for (const [what, silence] of [
      ['says nothing by UDP', true],
      ['refuses UDP', false],
    ] as const) {
      it(`a client that came by TCP is answered by a server that ${what}`, async () => {
        const server = await upstream((asked, transport) =>
          transport === 'udp' ? [] : says('1.1.1.1')(asked, transport),
        );
        if (!silence) server.closeUdp();
        const forwarder = withOptions('timeout:1', server);
        assert.deepEqual(dataOf(await resolve(forwarder, queryBytes(NAME), 'tcp')), ['1.1.1.1']);
        assert.equal(server.seen.at(-1), 'tcp');
      });
    }

    it('a client that came by TCP has the late answer of a server that refuses TCP', async () => {
      const server = createSocket('udp4');
      stops.push(() => server.close());
      server.on('message', (query, { port, address }) => {
        const [reply] = says('1.1.1.1')(new Uint8Array(query), 'udp');
        // After the refusal, which comes once the first attempt has been silent for `attemptMs`.
        const late = setTimeout(() => server.send(reply ?? query, port, address), 150);
        stops.push(() => clearTimeout(late));
      });
      server.bind(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address();
      const upstreams = [{ address: '127.0.0.1', port }];
      const forwarder = makeForwarder({ upstreams, timing: { attemptMs: 20, deadlineMs: 4_000 } });
      stops.push(() => forwarder.close());
      assert.deepEqual(dataOf(await resolve(forwarder, queryBytes(NAME), 'tcp')), ['1.1.1.1']);
    });

    it('keeps the last configuration while the file is missing', async () => {
      const server = await upstream(says('1.1.1.1'));
      writeFileSync(path, text([server]));
      const forwarder = makeForwarder({ resolvConf: path, following: { settleMs: 0, pollMs: 5 } });
      stops.push(() => forwarder.close());
      rmSync(path);
      await new Promise((done) => setTimeout(done, 20));
      assert.deepEqual(dataOf(await resolve(forwarder, queryBytes(NAME))), ['1.1.1.1']);
    });

    it('asks the resolver of this machine when the file names none (resolv.conf(5))', () => {
      const forwarder = makeForwarder({ resolvConf: path });
      stops.push(() => forwarder.close());
      assert.deepEqual(forwarder.upstreams, [{ address: '127.0.0.1', port: 53 }]);
    });

    it('takes names from a hosts file, followed live', async () => {
      const hosts = join(directory, 'hosts');
      writeFileSync(hosts, '10.0.0.1 box\n');
      const forwarder = forwarderTo([], { hostsFile: hosts });
      assert.deepEqual(dataOf(await resolve(forwarder, queryBytes('box'))), ['10.0.0.1']);
      writeFileSync(hosts, '10.0.0.2 box\n');
      await until(
        async () => dataOf(await resolve(forwarder, queryBytes('box')))[0] === '10.0.0.2',
      );
    });
  });
});

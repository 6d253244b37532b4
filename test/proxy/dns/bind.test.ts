import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DnsForwarder } from '../../../src/proxy/dns/forwarder.ts';
import { Dns64 } from '../../../src/services/dns/dns64.ts';
import type { FamilyPolicy } from '../../../src/services/dns/guest-answer.ts';
import type { DnsUpstream } from '../../../src/services/dns/resolv-conf.ts';
import { LOCAL_NAT64, WELL_KNOWN_NAT64 } from '../../../src/services/nat64-address.ts';
import { describeNeeding } from '../../support/requirements.ts';
import { Bind, dig, serve } from './bind.ts';
import { makeForwarder, until } from './lab.ts';

/** BIND's zone has addresses for documentation, which are private ones. */
const DNS64 = new Dns64({ forPublic: WELL_KNOWN_NAT64, forPrivate: LOCAL_NAT64 }, []);

describeNeeding('dig through the forwarder to BIND', ['named', 'dig', 'openssl'], () => {
  let bind: Bind;
  let forwarder: DnsForwarder;
  let front: { readonly server: DnsUpstream; close(): void };
  let clockMs = 0;
  let families: { -readonly [K in keyof FamilyPolicy]: FamilyPolicy[K] };

  before(async () => {
    bind = await Bind.start();
  });
  after(() => bind.stop());
  beforeEach(async () => {
    families = { hidesIpv4: false, hidesIpv6: false, dns64: undefined };
    forwarder = makeForwarder({
      upstreams: [bind.server],
      families,
      now: () => clockMs,
      timing: { attemptMs: 500, deadlineMs: 2000 },
    });
    front = await serve(forwarder);
  });
  afterEach(() => {
    front.close();
    forwarder.close();
  });

  const SAME: readonly (readonly [string, readonly string[]])[] = [
    ['A with authority and additional records', ['www.test.example', 'A']],
    ['AAAA', ['www.test.example', 'AAAA']],
    ['CNAME and what it leads to', ['alias.test.example']],
    ['MX', ['test.example', 'MX']],
    ['SRV', ['_sip._tcp.test.example', 'SRV']],
    ['TXT of several strings', ['txt.test.example', 'TXT']],
    ['SOA', ['test.example', 'SOA']],
    ['CAA', ['caa.test.example', 'CAA']],
    ['HTTPS', ['https.test.example', 'HTTPS']],
    ['SSHFP', ['sshfp.test.example', 'SSHFP']],
    ['LOC', ['loc.test.example', 'LOC']],
    ['a type nobody knows', ['unknown.test.example', 'TYPE65280']],
    ['ANY', ['www.test.example', 'ANY']],
    ['empty NOERROR with its SOA', ['v4only.test.example', 'AAAA']],
    ['NXDOMAIN with its SOA', ['none.test.example']],
    ['SERVFAIL', ['x.broken.example']],
    ['REFUSED', ['elsewhere.example']],
    ['the case of the question', ['WwW.TeSt.ExAmPlE']],
    ['no EDNS', ['+noedns', 'www.test.example']],
    ['DO', ['+dnssec', 'www.test.example']],
    ['NSID and other EDNS options', ['+nsid', '+subnet=192.0.2.0/24', 'www.test.example']],
    ['an unknown EDNS version: BADVERS', ['+edns=7', '+noednsnegotiation', 'www.test.example']],
    ['CHAOS', ['version.bind', 'CH', 'TXT']],
    ['truncation at 512 bytes without EDNS', ['+noedns', '+ignore', 'big.test.example', 'TXT']],
    ['truncation at the size of EDNS', ['+bufsize=1232', '+ignore', 'big.test.example', 'TXT']],
    ['a large answer by UDP', ['+bufsize=4096', '+ignore', 'big.test.example', 'TXT']],
    ['a large answer by TCP', ['+tcp', 'big.test.example', 'TXT']],
    ['TCP after TC', ['big.test.example', 'TXT']],
  ];
  for (const [what, args] of SAME) {
    it(`passes ${what} on as BIND gave it, and again from the cache`, async () => {
      // BIND rotates records of a set: compare them sorted.
      const sorted = (text: string): string[] => text.split('\n').sort();
      const direct = await dig(bind.server, args);
      assert.notEqual(direct.status, '');
      for (const round of ['forwarded', 'repeated']) {
        const through = await dig(front.server, args);
        assert.deepEqual(sorted(through.stable), sorted(direct.stable), round);
      }
    });
  }

  /** What guests get who cannot use IPv6, or have NAT64 to use IPv4 by. BIND compresses names. */
  const shaped = async (
    policy: Partial<FamilyPolicy>,
    args: readonly string[],
  ): Promise<string> => {
    Object.assign(families, policy);
    const rounds = [await dig(front.server, args), await dig(front.server, args)];
    const [first, again] = rounds.map(({ status, answer }) =>
      [status, ...answer.split('\n').sort()].join('\n'),
    );
    assert.equal(again, first, 'from the cache');
    return first ?? '';
  };
  const SHAPED: readonly (readonly [string, Partial<FamilyPolicy>, readonly string[], string])[] = [
    ['AAAA hidden', { hidesIpv6: true }, ['www.test.example', 'AAAA'], 'NOERROR\n'],
    [
      'AAAA hidden behind an alias',
      { hidesIpv6: true },
      ['alias.test.example', 'AAAA'],
      'NOERROR\nalias.test.example. 300 IN CNAME www.test.example.',
    ],
    [
      'of ANY, AAAA hidden',
      { hidesIpv6: true },
      ['+tcp', 'www.test.example', 'ANY'],
      'NOERROR\nwww.test.example. 120 IN A 192.0.2.1\nwww.test.example. 120 IN A 192.0.2.2',
    ],
    ['A hidden', { hidesIpv4: true }, ['www.test.example'], 'NOERROR\n'],
    [
      'an HTTPS record without its hint',
      { hidesIpv6: true },
      ['hints.test.example', 'HTTPS'],
      'NOERROR\nhints.test.example. 300 IN HTTPS 1 . alpn="h2" ipv4hint=192.0.2.1',
    ],
    [
      'AAAA made of A',
      { dns64: DNS64 },
      ['v4only.test.example', 'AAAA'],
      'NOERROR\nv4only.test.example. 60 IN AAAA 64:ff9b:1::c000:209',
    ],
    [
      'AAAA made of A behind an alias',
      { dns64: DNS64, hidesIpv6: true },
      ['alias.test.example', 'AAAA'],
      [
        'NOERROR',
        'alias.test.example. 300 IN CNAME www.test.example.',
        'www.test.example. 120 IN AAAA 64:ff9b:1::c000:201',
        'www.test.example. 120 IN AAAA 64:ff9b:1::c000:202',
      ].join('\n'),
    ],
    [
      'AAAA that there are',
      { dns64: DNS64 },
      ['www.test.example', 'AAAA'],
      'NOERROR\nwww.test.example. 120 IN AAAA 2001:db8::1',
    ],
    ['no name, no AAAA', { dns64: DNS64 }, ['none.test.example', 'AAAA'], 'NXDOMAIN\n'],
  ];
  for (const [what, policy, args, expected] of SHAPED) {
    it(`${what}: ${args.join(' ')}`, async () =>
      assert.equal(await shaped(policy, args), expected));
  }

  it('what was hidden is there at once when the policy changes, from the cache too', async () => {
    const args = ['www.test.example', 'AAAA'];
    const there = 'NOERROR\nwww.test.example. 120 IN AAAA 2001:db8::1';
    assert.equal(await shaped({ hidesIpv6: true }, args), 'NOERROR\n');
    assert.equal(await shaped({ hidesIpv6: false }, args), there);
    assert.equal(await shaped({ hidesIpv6: true }, args), 'NOERROR\n');
    assert.equal(forwarder.counts.get('forwarded'), 1);
    assert.equal(forwarder.counts.get('hidden-family'), 4);
  });

  it('counts TTLs down in the cache, and asks anew when they end', async () => {
    const ttl = async (): Promise<string> =>
      (await dig(front.server, ['short.test.example'])).answer.split(' ')[1] ?? '';
    assert.equal(await ttl(), '2');
    clockMs += 1000;
    assert.equal(await ttl(), '1');
    assert.equal(forwarder.counts.get('forwarded'), 1);
    clockMs += 1000;
    assert.equal(await ttl(), '2');
    assert.equal(forwarder.counts.get('forwarded'), 2);
  });

  it('remembers NXDOMAIN for the minimum of the SOA', async () => {
    const ask = async (): Promise<string> =>
      (await dig(front.server, ['none.test.example'])).status;
    assert.deepEqual([await ask(), await ask()], ['NXDOMAIN', 'NXDOMAIN']);
    assert.equal(forwarder.counts.get('forwarded'), 1);
    clockMs += 60_000;
    await ask();
    assert.equal(forwarder.counts.get('forwarded'), 2);
  });

  it('answers pipelined queries of one TCP connection', async () => {
    const { text } = await dig(front.server, [
      '+tcp',
      '+keepopen',
      ...['www.test.example', 'txt.test.example', 'none.test.example'],
    ]);
    assert.equal(text.match(/status: (NOERROR|NXDOMAIN)/g)?.length, 3);
  });

  it('fails over when BIND dies, and follows resolv.conf to the next one', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'hawser-failover-'));
    const path = join(directory, 'resolv.conf');
    const line = ({ server }: Bind): string => `nameserver ${server.address}#${server.port}\n`;
    const [first, second] = [await Bind.start(), await Bind.start()];
    writeFileSync(path, line(first) + line(second));
    const live = makeForwarder({ resolvConf: path, timing: { attemptMs: 500, deadlineMs: 2000 } });
    const liveFront = await serve(live);
    const ask = async (name: string): Promise<string> =>
      (await dig(liveFront.server, [name])).status;
    try {
      assert.equal(await ask('www.test.example'), 'NOERROR');
      await first.stop();
      assert.equal(await ask('txt.test.example'), 'NOERROR');
      await second.stop();
      assert.equal(await ask('mail.test.example'), 'SERVFAIL');
      writeFileSync(path, line(bind));
      await until(() => live.upstreams[0]?.port === bind.server.port);
      assert.equal(await ask('mail.test.example'), 'NOERROR');
    } finally {
      liveFront.close();
      live.close();
      rmSync(directory, { recursive: true });
    }
  });
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DnsForwarder } from '../../../src/proxy/dns/forwarder.ts';
import type { DnsUpstream } from '../../../src/services/dns/resolv-conf.ts';
import { describeNeeding } from '../../support/requirements.ts';
import { Bind, dig, serve } from './bind.ts';
import { makeForwarder, until } from './lab.ts';

describeNeeding('dig through the forwarder to BIND', ['named', 'dig'], function () {
  this.timeout(20_000);
  let bind: Bind;
  let forwarder: DnsForwarder;
  let front: { readonly server: DnsUpstream; close(): void };
  let clockMs = 0;

  before(async () => {
    bind = await Bind.start();
  });
  after(() => bind.stop());
  beforeEach(async () => {
    forwarder = makeForwarder({
      upstreams: [bind.server],
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

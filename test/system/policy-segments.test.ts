/** Segments that no kernel would send, of a connection that a kernel has opened, under a rule of names; and what is only seen over time. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';
import { macOf } from '../../src/wire/mac.ts';
import { helloRecords } from '../services/sniff/hello-bytes.ts';
import { type IpFields, tcpFrame } from '../support/frames.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { inject } from './support/inject.ts';
import { GATEWAY, type Guest, Lab, OUTSIDE } from './support/lab.ts';
import { type Background, succeed } from './support/processes.ts';
import { until } from './support/until.ts';

const NAME = 'a.test';
const EVIL = 'b.test';
const OTHER = '198.18.0.2';
const PORT = 443;
/** In front of the server name of a hello. */
const HEAD = 40;
const NAMED_MAIN = fileURLToPath(new URL('./support/named-main.js', import.meta.url));
const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const KEPT = z.object({
  version: z.number(),
  guests: z.array(
    z.object({ guest: z.string(), names: z.array(z.looseObject({ grantedMs: z.number() })) }),
  ),
});

const word = (text: string): number =>
  text.split('.').reduce((sum, part) => (sum << 8) | Number(part) | 0, 0);

/** A connection of the guest's kernel, which is silent, and segments that others send in its place. */
interface Opened {
  readonly client: Background;
  /** Sends `data` at an offset of the stream. */
  sends(at: number, data: Uint8Array, flags?: string): Promise<void>;
}

systemSuite(
  'segments under an egress policy',
  [...LAB, 'curl', 'dig', 'dnsmasq', 'openssl', 'perl', 'tcpdump'],
  function () {
    this.timeout(60_000);

    let lab: Lab;
    let guest: Guest;
    let daemon: Daemon;
    let servers: Background;
    let wire: Background;
    let seen: Background;
    let fields: IpFields;

    const options = (): readonly string[] => [
      ...['--listen', guest.link, '--dns', OUTSIDE, '--policy', lab.path('policy.yaml')],
      ...['--lease-file', lab.path('leases.json')],
    ];

    before(async () => {
      lab = await Lab.open();
      const { outside } = lab;
      await succeed(['ip', '-n', outside.name, 'addr', 'add', `${OTHER}/24`, 'dev', 'up0']);
      const keys = [lab.path('key.pem'), lab.path('cert.pem')];
      await outside.run(
        ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
        ...['-nodes', '-subj', `/CN=${NAME}`, '-days', '1'],
        ...['-keyout', lab.path('key.pem'), '-out', lab.path('cert.pem')],
      );
      servers = outside.start([process.execPath, NAMED_MAIN, '0.0.0.0', ...keys]);
      await servers.prints(/serving/);
      outside.start([
        ...['dnsmasq', '-k', '-u', 'root', '--pid-file=', '--no-resolv', '--no-hosts', '-C'],
        ...['/dev/null', `--address=/${NAME}/${OUTSIDE}`],
      ]);
      await until('dnsmasq', async () => (await outside.run('ss', '-Hlun')).includes(':53 '));
      guest = await lab.addGuest();
      writeFileSync(lab.path('policy.yaml'), `{default: deny, rules: [{allow: {name: ${NAME}}}]}`);
      daemon = await lab.startDaemon(options());
      const { address } = await guest.lease();
      fields = { src: word(address), dst: word(OUTSIDE), ...(await macs()) };
      const dump = ['tcpdump', '-l', '-n', '--immediate-mode'];
      wire = outside.start([...dump, '-A', '-s', '0', '-i', 'up0', `tcp port ${PORT}`]);
      seen = guest.start([...dump, '-S', '-i', 'eth0', `tcp port ${PORT}`]);
      for (const one of [wire, seen]) {
        await until('tcpdump', () => (/listening on/.test(one.stderr) ? true : undefined));
      }
    });
    after(() => lab.close());
    beforeEach(async () => {
      assert.match(await dig('+short', NAME), new RegExp(OUTSIDE));
      wire.stdout = '';
      servers.stdout = '';
    });
    afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

    const macs = async (): Promise<Pick<IpFields, 'srcMac' | 'dstMac'>> => {
      await guest.try('ping', '-c', '1', '-W', '1', GATEWAY);
      const near = await guest.run('ip', 'neigh', 'show', GATEWAY);
      const own = await guest.run('ip', '-o', 'link', 'show', 'eth0');
      const macIn = (text: string): number =>
        macOf(/(?:lladdr|link\/ether) ([0-9a-f:]{17})/.exec(text)?.[1] ?? '');
      return { srcMac: macIn(own), dstMac: macIn(near) };
    };
    const dig = async (...args: readonly string[]): Promise<string> =>
      await guest.run('dig', `@${GATEWAY}`, '+tries=1', '+timeout=2', ...args);
    const open = async (): Promise<Opened> => {
      seen.stdout = '';
      const client = guest.start(['nc', '-d', OUTSIDE, `${PORT}`]);
      const [, sport, theirs, ours] = await until(
        'the handshake',
        () =>
          /> [\d.]+\.(\d+): Flags \[S\.\], seq (\d+), ack (\d+),/.exec(seen.stdout) ?? undefined,
      );
      const sends = async (at: number, data: Uint8Array, flags = 'PA'): Promise<void> => {
        const from = { sport: Number(sport), dport: PORT, flags, data };
        const seq = Number(ours) + at;
        await inject(guest, tcpFrame({ ...from, seq, ack: Number(theirs) + 1 }, fields));
      };
      return { client, sends };
    };
    /** Of the connection that has ended. */
    const reached = async (): Promise<number> =>
      await until('the connection to end', () => {
        const bytes = new RegExp(`^${PORT} (\\d+)$`, 'm').exec(servers.stdout)?.[1];
        return bytes === undefined ? undefined : Number(bytes);
      });
    const flowsAreOver = async (): Promise<void> => {
      await until('every flow to end', async () =>
        (await daemon.flows()).some(({ protocol }) => protocol === 'tcp') ? undefined : true,
      );
    };
    const [hello, evil] = [helloRecords({ name: NAME }), helloRecords({ name: EVIL })];

    it('the name is behind the head of a hello, which is the same for both', () => {
      assert.equal(hello.length, evil.length);
      assert.deepEqual(hello.subarray(0, HEAD), evil.subarray(0, HEAD));
    });

    it('of bytes that come twice the first copy is what is read, and what arrives', async () => {
      const { client, sends } = await open();
      const most = hello.length - 1;
      await sends(0, hello.subarray(0, most));
      await sends(HEAD, evil.subarray(HEAD));
      await until('the hello to arrive', () => /a\.test/.test(wire.stdout) || undefined);
      await sends(hello.length, new Uint8Array(0), 'R');
      assert.equal(await reached(), hello.length);
      await client.stop();
      assert.doesNotMatch(wire.stdout, /b\.test/);
    });

    it('of bytes that wait out of order another copy may come: what is read is what arrives', async () => {
      for (const [waiting, inOrder] of [
        [evil, hello],
        [hello, evil],
      ] as const) {
        wire.stdout = '';
        servers.stdout = '';
        const { client, sends } = await open();
        await sends(HEAD, waiting.subarray(HEAD));
        await sends(0, inOrder.subarray(0, HEAD + 1));
        await sends(HEAD, inOrder.subarray(HEAD));
        if (waiting === hello) {
          await until('the hello to arrive', () => /a\.test/.test(wire.stdout) || undefined);
          await sends(hello.length, new Uint8Array(0), 'R');
          assert.equal(await reached(), hello.length);
          await client.stop();
        } else {
          await client.exited;
          assert.equal(await reached(), 0);
          assert.doesNotMatch(wire.stdout, /a\.test/);
        }
        assert.doesNotMatch(wire.stdout, /b\.test/);
      }
    });

    it('a reset in the middle of a hello ends it, and nothing of it arrives, then or behind it', async () => {
      const { client, sends } = await open();
      await sends(0, hello.subarray(0, HEAD));
      await sends(HEAD, new Uint8Array(0), 'R');
      assert.equal(await reached(), 0);
      await flowsAreOver();
      await sends(HEAD, hello.subarray(HEAD));
      await sends(0, hello);
      await client.exited;
      assert.doesNotMatch(wire.stdout, /[ab]\.test/);
    });

    it('a reset from aside frees nothing, and what it carries is none', async () => {
      const { client, sends } = await open();
      await sends(0, evil.subarray(0, HEAD));
      await sends(HEAD + 9_999, new Uint8Array(0), 'R');
      await sends(-1, hello, 'R');
      await sends(HEAD, evil.subarray(HEAD));
      await client.exited;
      assert.equal(await reached(), 0);
      assert.doesNotMatch(wire.stdout, /[ab]\.test/);
    });

    it('a resolver over HTTPS at an allowed name is not seen: what it answers opens nothing, and others there are denied', async () => {
      const curl = async (name: string, address: string): Promise<number | null> =>
        (
          await guest.try(
            ...['curl', '-sS', '-k', '-m', '5', '--resolve', `${name}:${PORT}:${address}`],
            `https://${name}/dns-query?dns=AAABAAABAAAAAAAA`,
          )
        ).status;
      assert.equal(await curl(NAME, OUTSIDE), 0);
      assert.equal(await curl('doh.test', OUTSIDE), 35);
      assert.equal(await curl(NAME, OTHER), 7);
      assert.equal(await curl(EVIL, OTHER), 7);
    });

    it('an address whose time is over is refused at the SYN, though its name is known still', async () => {
      const curl = async (): Promise<string> => {
        const url = ['--resolve', `${NAME}:${PORT}:${OUTSIDE}`, `https://${NAME}/`];
        const { status } = await guest.try('curl', '-sS', '-k', '-m', '5', ...url);
        return `${status}`;
      };
      assert.equal(await curl(), '0');
      await daemon.stop('SIGTERM');
      const file = lab.path('leases.json.names');
      const kept = KEPT.parse(JSON.parse(readFileSync(file, 'utf8')));
      const guests = kept.guests.map(({ guest: who, names }) => ({
        guest: who,
        names: names.map((one) => ({ ...one, grantedMs: Date.now() - 1 })),
      }));
      assert.equal(guests.flatMap(({ names }) => names).length, 1);
      writeFileSync(file, JSON.stringify({ ...kept, guests }));
      daemon = await lab.startDaemon(options());
      await guest.lease();
      assert.equal(await curl(), '7');
      const argv = [...['env', `XDG_RUNTIME_DIR=${lab.dir}`, process.execPath, MAIN], 'policy'];
      assert.match(await lab.host.run(...argv, 'denials'), /default: deny/);
      await dig(NAME);
      assert.equal(await curl(), '0');
    });
  },
);

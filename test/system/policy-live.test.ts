/** A policy that changes while a guest is at work: presets, what observes, rules for a time, approvals; a real kernel. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { GATEWAY, type Guest, HOST, HOST_OUTER, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';
import type { CommandResult } from './support/processes.ts';
import { until } from './support/until.ts';

const OTHER = '198.18.0.2';
const PRIVATE = '10.0.0.9';
const MUX_PORT = 7700;
const FORWARDED = 9001;
const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const AGENT = fileURLToPath(new URL('../../hawser-agent.mjs', import.meta.url));

systemSuite('a policy that changes', [...LAB, 'curl', 'dig', 'dnsmasq', 'nc', 'ping'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guest: Guest;
  let other: Guest;
  let daemon: Daemon;
  let neighbor: string;

  before(async () => {
    lab = await Lab.open();
    for (const address of [`${OTHER}/24`, `${PRIVATE}/32`]) {
      await lab.outside.run('ip', 'addr', 'add', address, 'dev', 'up0');
    }
    lab.outside.start([
      ...['dnsmasq', '-k', '-u', 'root', '--pid-file=', '--no-resolv', '--no-hosts', '-C'],
      ...['/dev/null', `--address=/a.test/${OUTSIDE}`, `--address=/b.test/${OTHER}`],
    ]);
    await until('dnsmasq', async () => (await lab.outside.run('ss', '-Hlun')).includes(':53 '));
    await lab.startServers(lab.outside);
    await lab.startServers(lab.host);
    guest = await lab.addGuest();
    other = await lab.addGuest();
    daemon = await lab.startDaemon([
      ...['--listen', guest.link, '--listen', other.link, '--dns', OUTSIDE],
      ...['--mux', `guest:${MUX_PORT}`, '--mux-allow', `tcp:${OTHER}:${HTTP_PORT}`],
    ]);
    await guest.lease();
    ({ address: neighbor } = await other.lease());
    const forward = `tcp:127.0.0.1:${FORWARDED}=tcp:${OTHER}:${HTTP_PORT}`;
    const listen = ['--listen', `tcp:0.0.0.0:${MUX_PORT}`];
    const agent = guest.start([process.execPath, AGENT, ...listen, '--forward-to-host', forward]);
    await agent.prints(/agent ready/);
    await until('the multiplexer', async () =>
      (await daemon.request('/v1/mux')).includes('"ready"') ? true : undefined,
    );
  });
  after(() => lab.close());
  afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

  const hawser = async (...args: readonly string[]): Promise<CommandResult> =>
    await lab.host.try('env', `XDG_RUNTIME_DIR=${lab.dir}`, process.execPath, MAIN, ...args);
  const policy = async (...args: readonly string[]): Promise<string> => {
    const { stdout, stderr, status } = await hawser('policy', ...args);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  const put = async (document: string): Promise<void> => {
    writeFileSync(lab.path('policy.yaml'), document);
    await policy('set', lab.path('policy.yaml'));
  };
  const reaches = async (host: string, by = guest): Promise<boolean> =>
    (await by.try('curl', '-sS', '-m', '5', `http://${host}:${HTTP_PORT}/`)).status === 0;
  const byName = async (name: string, address: string): Promise<boolean> => {
    await guest.run('dig', `@${GATEWAY}`, '+tries=1', name);
    const url = `http://${name}:${HTTP_PORT}/`;
    const argv = ['-sS', '-m', '5', '--resolve', `${name}:${HTTP_PORT}:${address}`, url];
    return (await guest.try('curl', ...argv)).status === 0;
  };
  const pings = async (to: string): Promise<boolean> =>
    (await guest.try('ping', '-c', '1', '-W', '3', to)).status === 0;
  /** Of the last denial that matches. */
  const denialOf = async (what: RegExp): Promise<string> => {
    const line = (await policy('denials')).split('\n').findLast((one) => what.test(one));
    return /^\d+/.exec(line ?? '')?.[0] ?? assert.fail(`${what}`);
  };

  const presets = [
    ['internet-only', [OTHER]],
    ['host-only', [HOST, HOST_OUTER]],
    ['offline', []],
  ] as const;
  for (const [preset, open] of presets) {
    it(`preset ${preset}: of the Internet, the host, a private network and a guest`, async () => {
      await put(`preset: ${preset}`);
      const reached: string[] = [];
      for (const to of [OTHER, HOST, HOST_OUTER, PRIVATE]) {
        if (await reaches(to)) reached.push(to);
      }
      assert.deepEqual(reached, open);
      assert.equal(await pings(neighbor), false);
    });
  }

  it('one that observes blocks nothing, and what it lists is enough for one that does', async () => {
    await put('{default: deny, mode: observe}');
    const tries = async (): Promise<readonly boolean[]> => [
      await byName('a.test', OUTSIDE),
      await reaches(PRIVATE),
      await reaches(HOST),
      await pings(neighbor),
    ];
    assert.deepEqual(await tries(), [true, true, true, true]);
    assert.match(await policy('denials'), / name a\.test, .*\(observed\)/);
    await put(await policy('suggest'));
    assert.deepEqual(await tries(), [true, true, true, true]);
    assert.equal(await byName('b.test', OTHER), false);
    assert.equal(await reaches(OTHER), false);
  });

  it('a rule for a time is none behind it, for the flows that it has opened either', async () => {
    await put('default: deny');
    await policy('allow', `${OTHER}:${HTTP_PORT}/tcp`, '--for', '8s');
    const { exited } = guest.start(['nc', '-d', OTHER, `${HTTP_PORT}`]);
    await until('the flow', () => daemon.flowTo(HTTP_PORT));
    await exited;
    assert.equal(await daemon.flowTo(HTTP_PORT), undefined);
    assert.equal(await reaches(OTHER), false);
    assert.doesNotMatch(await policy('show'), /allow/);
  });

  it('what was denied is approved for this guest and port, at once', async () => {
    await put('default: deny');
    assert.equal(await reaches(OTHER), false);
    assert.equal(await byName('a.test', OUTSIDE), false);
    await policy('approve', await denialOf(new RegExp(` ${OTHER}:${HTTP_PORT}/tcp`)));
    assert.deepEqual([await reaches(OTHER), await reaches(OTHER, other)], [true, false]);
    const id = await denialOf(/ name a\.test,/);
    assert.match((await hawser('policy', 'approve', id)).stderr, /of no port yet/);
    await policy('approve', id, '--port', `${HTTP_PORT}/tcp`);
    assert.equal(await byName('a.test', OUTSIDE), true);
  });

  it('the forwards of an agent are decided on too', async () => {
    await put('default: deny');
    const forwards = async (): Promise<boolean> =>
      (await guest.try('curl', '-sS', '-m', '5', `http://127.0.0.1:${FORWARDED}/`)).status === 0;
    assert.equal(await forwards(), false);
    await denialOf(new RegExp(` ${OTHER}:${HTTP_PORT}/tcp`));
    await policy('allow', `${OTHER}:${HTTP_PORT}/tcp`);
    assert.equal(await forwards(), true);
  });
});

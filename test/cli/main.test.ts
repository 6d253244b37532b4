import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SILENT } from '../../src/base/log.ts';
import { eventsCommand, followEvents } from '../../src/cli/commands/events.ts';
import { flowsCommand } from '../../src/cli/commands/flows.ts';
import { leasesCommand, statusCommand } from '../../src/cli/commands/inspect.ts';
import type { ApiListener } from '../../src/control/api-listener.ts';
import { conflictProblem, conflictText } from '../../src/control/conflict-text.ts';
import { serveControlApi } from '../../src/control/control-api.ts';
import type { ConflictView } from '../../src/control/network-view.ts';
import { FakeNetwork, TCP_FLOW } from './fake-network.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

function hawser(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

describe('hawser', () => {
  it('--version is that of package.json', () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
    assert.deepEqual(hawser('--version'), { status: 0, stdout: `${version}\n`, stderr: '' });
  });

  describe('in a directory that was deleted', () => {
    const inGone = (...args: string[]) => {
      const gone = mkdtempSync(join(tmpdir(), 'hawser-gone-'));
      const script = 'cd "$1" && rmdir "$1" && shift && exec "$@"';
      return spawnSync('/bin/sh', ['-c', script, 'sh', gone, process.execPath, MAIN, ...args], {
        encoding: 'utf8',
      });
    };
    for (const args of [
      ['run', '--listen', 'qemu:x.sock'],
      ['run', '--listen', 'qemu-dgram:/tmp/a,b.sock'],
      ['run', '--api', 'unix:x.sock'],
      ['run', '--mux', 'unix:x.sock'],
      ['run', '--pid-file', 'x.pid'],
      ['run', '--sandbox-allow', 'x'],
      ['run', '--config', 'x.yml'],
      ['status', '--api', 'unix:x.sock'],
    ]) {
      it(`${args.join(' ')}: says so, and which option`, () => {
        const { status, stderr } = inGone(...args);
        assert.equal(status, 2, stderr);
        const [, option = '', value = ''] = args;
        const why =
          'is relative, and the current directory is gone: choose an absolute path, or another directory to start in';
        assert.equal(
          stderr.replace(`${value}: is`, `${value} is`),
          `hawser: ${option} ${value} ${why}\n`,
        );
      });
    }

    it('absolute paths are as good as ever', () => {
      const { status, stderr } = inGone('run', '--print-config', '--listen', 'qemu:/tmp/x.sock');
      assert.equal(status, 0, stderr);
    });
  });

  for (const command of ['status', 'flows', 'ports', 'stop', 'events', 'leases', 'run']) {
    it(`${command}, where the directory of sockets has too long a name: says so`, () => {
      const { status, stderr } = spawnSync(process.execPath, [MAIN, command], {
        encoding: 'utf8',
        env: { ...process.env, XDG_RUNTIME_DIR: `/tmp/${'x'.repeat(100)}` },
      });
      assert.equal(status, 2, stderr);
      assert.match(
        stderr,
        /^hawser: \/tmp\/x+\/hawser\/default\/\w+\.sock is a path of 1\d\d bytes: must be at most 107, the limit of Unix sockets; choose a shorter one, by XDG_RUNTIME_DIR or --name, or say --(api|listen)\n$/,
      );
    });
  }

  it('--help names the commands', () => {
    const { status, stdout } = hawser('--help');
    assert.equal(status, 0);
    for (const command of ['run', 'demo', 'status', 'flows', 'events', 'leases']) {
      assert.match(stdout, new RegExp(`^  ${command} `, 'm'));
    }
  });

  it('run --help names the options of this version and no others', () => {
    const { status, stdout } = hawser('run', '--help');
    assert.equal(status, 0);
    assert.match(stdout, /--host-ip <ip>/);
    assert.doesNotMatch(stdout, /--shape/);
  });

  const misused: [string[], RegExp][] = [
    [[], /Usage: hawser/],
    [['sail'], /hawser: unknown command 'sail'/],
    [['run', '--colour'], /hawser: unknown option '--colour'/],
    [['run', '--mtu'], /argument missing/],
    [['run', 'extra'], /too many arguments/],
    [['run', '--mtu', '1'], /hawser: --mtu 1: must be an integer from 576 to 65520/],
    [['run', '--shape', 'x'], /hawser: unknown option '--shape'/],
    [['run', '--config', '/nonexistent'], /hawser: --config \/nonexistent: cannot be read: ENOENT/],
    [['run', '--print-config', '--name', '/'], /hawser: --name/],
    [['status', '--api', 'x'], /hawser: --api x: must be unix:PATH or tcp:IP:PORT/],
  ];
  for (const [args, message] of misused) {
    it(`${args.join(' ')}: bad usage is status 2 and a message`, () => {
      const { status, stdout, stderr } = hawser(...args);
      assert.equal(status, 2, stderr);
      assert.match(stderr, message);
      assert.equal(stdout, '');
    });
  }

  it('a command without its daemon is status 1 and says what to do', () => {
    const { status, stderr } = hawser('status', '--api', 'unix:/nonexistent/x');
    assert.equal(status, 1);
    assert.match(stderr, /^hawser: cannot reach hawser at \/nonexistent\/x: .*start "hawser run"/);
  });

  it('run --print-config prints what --config reads', () => {
    const dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    try {
      const args = ['run', '--print-config', '--mtu', '9000', '--no-verify-checksums', '-p', '1:2'];
      const first = hawser(...args);
      assert.equal(first.status, 0, first.stderr);
      assert.match(first.stdout, /^mtu: 9000$/m);
      assert.match(first.stdout, /^verifyChecksums: false$/m);
      writeFileSync(join(dir, 'c.yaml'), first.stdout);
      const second = hawser('run', '--print-config', '--config', join(dir, 'c.yaml'));
      assert.equal(second.stdout, first.stdout, second.stderr);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe('hawser status, flows, events, leases', () => {
  let dir: string;
  let listener: ApiListener;
  const network = new FakeNetwork();
  const request = () => ({
    name: 'default',
    api: `unix:${dir}/api.sock`,
    apiTokenFile: undefined,
    json: false,
  });

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    listener = await serveControlApi({
      address: { kind: 'unix', path: `${dir}/api.sock` },
      name: 'default',
      version: '1',
      view: network.view,
      ports: network.ports,
      log: SILENT,
      onShutdown: () => {},
    });
  });
  after(async () => {
    await listener.close();
    rmSync(dir, { recursive: true });
  });

  it('status shows the network and its guests, harmless to the terminal', async () => {
    const text = await statusCommand(request());
    assert.match(text, /^status +ok$/m);
    assert.match(text, /^subnet +192\.168\.127\.0\/24, MTU 1500$/m);
    assert.match(text, /^192\.168\.127\.2 +build\?\[31m +52:54:00:12:34:56 /m);
    assert.ok(!text.includes('\u001b'));
  });

  it('flows is a table, filtered on request', async () => {
    const text = await flowsCommand({ ...request(), filter: {} });
    assert.match(
      text,
      /^1 +tcp +192\.168\.127\.2:40000 +→ +203\.0\.113\.5:443 +www\.example\.com +established/m,
    );
    const udp = await flowsCommand({ ...request(), filter: { protocol: 'udp' } });
    assert.doesNotMatch(udp, /^1/m);
    assert.match(udp, /^2 +udp +192\.168\.127\.3:40000 +← +203\.0\.113\.5:443 +port 7 /m);
  });

  it('flows shows both addresses of what is translated', async () => {
    const { flows } = network.flows;
    const [flow = assert.fail()] = flows;
    const shown = async (remoteAddress: string, dialledAddress: string): Promise<string> => {
      network.flows.flows = [{ ...flow, remoteAddress, dialledAddress }];
      return await flowsCommand({ ...request(), filter: {} });
    };
    const translated = await shown('64:ff9b::808:808', '8.8.8.8');
    const same = await shown('192.168.127.254', '127.0.0.1');
    network.flows.flows = flows;
    assert.match(translated, / \[64:ff9b::808:808\]:443 \(8\.8\.8\.8\) /);
    assert.doesNotMatch(same, /127\.0\.0\.1/);
  });

  it('flows --json is the answer of the API', async () => {
    const text = await flowsCommand({ ...request(), filter: { limit: '1' }, json: true });
    const flows = network.view.flows().slice(0, 1);
    assert.deepEqual(JSON.parse(text), { flows, total: 2, next: '1' });
  });

  it('a filter that the daemon refuses says why', () =>
    assert.rejects(
      flowsCommand({ ...request(), filter: { protocol: 'sctp' } }),
      /refused \(400\): protocol="sctp": must be one of tcp, udp, icmp/,
    ));

  const eventsRequest = () => ({ ...request(), filter: {}, types: undefined, after: undefined });
  const openFlow = (name: string): void =>
    network.events.add('flow', { kind: 'opened', flow: { ...TCP_FLOW, name }, why: null });

  it('events are lines, of the types and flows that are wanted', async () => {
    openFlow('www.example.com');
    openFlow('other.test');
    const limit = { name: 'sockets', whole: 9, held: 9, refused: 3, evicted: 1 };
    network.events.add('limit', { kind: 'hit', limit });
    const text = await eventsCommand(eventsRequest());
    assert.match(
      text,
      /^\d\d:\d\d:\d\d flow {2}opened +1 tcp 192\.168\.127\.2:40000 → 203\.0\.113\.5:443 \(www\.example\.com\)$/m,
    );
    assert.match(text, /^\S+ limit hit +sockets: 9 of 9, 3 refused, 1 ended for others$/m);
    const only = await eventsCommand({ ...eventsRequest(), filter: { to: '*.test' } });
    assert.match(only, /other\.test/);
    assert.doesNotMatch(only, /www\.example\.com/);
    const all = await eventsCommand({ ...eventsRequest(), json: true });
    const [first = ''] = all.split('\n');
    const after: string = JSON.parse(first).id;
    assert.equal(
      await eventsCommand({ ...eventsRequest(), json: true, after }),
      all.slice(first.length + 1),
    );
    const limits = await eventsCommand({ ...eventsRequest(), types: 'limit', json: true });
    assert.deepEqual(JSON.parse(limits).limit, limit);
    await assert.rejects(eventsCommand({ ...eventsRequest(), types: 'x' }), /must be of guest, /);
  });

  it('an address that two claim: in the status, its JSON, and the events', async () => {
    const party = { guestMac: '52:54:00:12:34:56', guestName: null };
    const conflict: ConflictView = {
      address: '192.168.127.2',
      kind: 'ipv4',
      claimant: { ...party, guestId: 2, link: 'qemu:/run/b.sock#1' },
      owner: { ...party, guestId: 1, guestName: 'build\u001b[31m', link: 'qemu:/run/a.sock#1' },
      sinceMs: 5,
      lastMs: 1,
      times: 7,
    };
    const { health, conflicts } = network.view;
    Object.assign(network.view, {
      health: () => ({ status: 'degraded', problems: [conflictProblem(conflict)] }),
      conflicts: () => ({ conflicts: [conflict], unlisted: 0 }),
    });
    const status = await statusCommand(request());
    const parsed = JSON.parse(await statusCommand({ ...request(), json: true }));
    Object.assign(network.view, { health, conflicts });
    const text =
      '192.168.127.2, the IPv4 address of build\\u{1b}[31m (qemu:/run/a.sock#1), is claimed by qemu:/run/b.sock#1';
    assert.ok(
      status.includes(
        `${text}, whose frames with it are dropped: give that VM another IPv4 address.`,
      ),
      status,
    );
    assert.deepEqual(parsed.conflicts, [conflict]);
    network.events.add('conflict', { kind: 'begun', conflict });
    const ofConflicts = (guest?: string): Promise<string> =>
      eventsCommand({ ...eventsRequest(), types: 'conflict', filter: guest ? { guest } : {} });
    assert.ok((await ofConflicts()).includes(` conflict begun     ${text}\n`), await ofConflicts());
    for (const guest of ['1', '2', '192.168.127.2', '52:54:00:12:34:56']) {
      assert.equal(await ofConflicts(guest), await ofConflicts(), guest);
    }
    assert.equal(await ofConflicts('3'), '');
    const away = { ...conflict, owner: { ...party, guestId: null, link: null } };
    assert.match(conflictText(away), /of 52:54:00:12:34:56 \(not attached\), is claimed/);
  });

  it('events that are followed go on behind the last one, and carry no escape of a guest', async () => {
    const lines: string[] = [];
    let isEnough = (): void => {};
    const enough = new Promise<void>((resolve) => {
      isEnough = resolve;
    });
    const [last] = [...network.events.kept()].slice(-1);
    const types = 'flow,block,verdict';
    const following = followEvents({ ...eventsRequest(), types, after: last?.event.id }, (line) => {
      lines.push(line);
      if (lines.length === 4) isEnough();
    });
    openFlow('\u001b[31mred\u009b\u202e');
    const block = {
      ...{ guestId: 3, guestName: '\u001b]0;x\u0007', guestMac: null, protocol: 'dns' as const },
      ...{ remoteAddress: null, remotePort: 0, name: 'evil.test', why: 'policy', rule: 'deny *' },
    };
    network.events.add('block', { kind: 'blocked', block });
    const verdict = { ...block, place: null, evidence: 'asked', why: 'policy' } as const;
    network.events.add('verdict', { kind: 'denied', verdict, count: 7 });
    openFlow('third.test');
    await enough;
    const text = lines.join('');
    assert.doesNotMatch(text, /[^\n\P{Cc}]|\p{Cf}/u);
    assert.match(text, /block blocked +dns \?\]0;x\? → evil\.test: policy \(deny \*\)$/m);
    assert.match(text, /verdict denied +dns \?\]0;x\? → evil\.test: deny \*, and 6 more$/m);
    assert.match(lines[3] ?? '', /third\.test/);
    void following.catch(() => {}); // ends with the daemon
  });

  it('leases is a table', async () => {
    assert.match(
      await leasesCommand(request()),
      /^192\.168\.127\.2 +52:54:00:12:34:56 +- +2030-01-01T00:00:00\.000Z$/m,
    );
  });
});

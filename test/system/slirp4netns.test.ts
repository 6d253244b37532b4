/** `hawser-slirp4netns`, as an ordinary user starts it for namespaces of its own. */
import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { tool } from '../../bench/rig/tools.ts';
import { onPath } from '../../src/lab/on-path.ts';
import { loadPosix } from '../../src/native/load.ts';
import { itNeeding, LAB, systemSuite } from '../support/requirements.ts';
import { HOST_OUTER, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';
import { type Background, succeed } from './support/processes.ts';
import { RootlessUser } from './support/rootless.ts';
import { until } from './support/until.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/hawser-slirp4netns.js', import.meta.url));
const READY_FD = 3;
const EXIT_FD = 4;
const MIB = 1 << 20;
const ECHO_PORT = 9_200;
/** Another address of the host. */
const SECOND = '198.18.0.77';

systemSuite('slirp4netns', [...LAB, 'userns', 'curl', 'dig', 'ping', 'nc', 'gcc'], function () {
  this.timeout(120_000);
  let lab: Lab;
  let user: RootlessUser;
  let target: Background;
  let slirp: Background;

  before(async () => {
    lab = await Lab.open();
    await lab.startServers(lab.host);
    await lab.startServers(lab.outside);
    user = await RootlessUser.open(lab, {
      slirp4netns: 'hawser-slirp4netns.js',
      hawser: 'hawser.js',
    });
  });
  after(async () => await lab?.close());
  beforeEach(async () => {
    target = user.start(['unshare', '--user', '--map-root-user', '--net', 'sleep', 'infinity']);
    await until('the namespaces to be there', () => isApart(target.pid));
  });
  afterEach(async () => {
    await slirp?.stop('SIGTERM');
    await target?.stop();
  });

  /** Start it, and wait for its byte. */
  async function start(
    {
      more = [],
      env = [],
      program = 'slirp4netns',
    }: {
      readonly more?: readonly number[];
      readonly env?: readonly string[];
      readonly program?: string;
    },
    ...args: readonly string[]
  ): Promise<Background> {
    slirp = user.start(['env', ...env, program, '-r', `${READY_FD}`, ...args], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', ...more],
    });
    const ready = slirp.child.stdio[READY_FD];
    assert.ok(ready !== null && ready !== undefined && 'on' in ready);
    let said = '';
    ready.on('data', (chunk) => {
      said += chunk;
    });
    await until('slirp4netns to be ready', () => said !== '' || !slirp.isRunning);
    assert.equal(said, '1', slirp.stderr);
    return slirp;
  }

  const inside = (...argv: string[]): Promise<string> =>
    user.run('nsenter', '-t', `${target.pid}`, '-U', '--preserve-credentials', '-n', '--', ...argv);
  const fetch = (url: string): Promise<string> =>
    inside('curl', '-sS', '--max-time', '20', '-o', '/dev/null', '-w', '%{size_download}', url);

  /** As RootlessKit's child does. */
  async function configureInside(): Promise<void> {
    await inside('ip', 'addr', 'add', '10.0.2.100/24', 'dev', 'tap0');
    await inside('ip', 'link', 'set', 'tap0', 'up');
    await inside('ip', 'route', 'add', 'default', 'via', '10.0.2.2');
  }

  it('sets up the interface with -c: address, route, MTU, Ethernet address', async () => {
    const mac = '52:54:00:12:34:56';
    await start({}, '-c', '-m', '65520', '--macaddress', mac, `${target.pid}`, 'tap0');
    const link = await inside('ip', '-o', 'link', 'show');
    assert.match(link, /lo: <LOOPBACK,UP/);
    assert.match(link, /tap0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 65520/);
    assert.match(link, new RegExp(mac));
    assert.match(await inside('ip', '-4', 'addr', 'show', 'tap0'), /inet 10\.0\.2\.100\/24/);
    assert.match(await inside('ip', 'route'), /default via 10\.0\.2\.2 dev tap0/);
  });

  it('leaves the interface alone without -c', async () => {
    await start({}, `${target.pid}`, 'tap0');
    const link = await inside('ip', '-o', 'link', 'show', 'tap0');
    assert.doesNotMatch(link, /UP/);
    await configureInside();
    assert.equal(await fetch(`http://${OUTSIDE}:${HTTP_PORT}/bytes/${MIB}`), `${MIB}`);
  });

  it('leads to other hosts, to the host and to its loopback', async () => {
    await start({}, '-c', `${target.pid}`, 'tap0');
    for (const address of [OUTSIDE, HOST_OUTER, '10.0.2.2']) {
      assert.equal(await fetch(`http://${address}:${HTTP_PORT}/bytes/${MIB}`), `${MIB}`, address);
    }
    await inside('ping', '-c', '1', '-W', '5', '10.0.2.2');
    await inside('ping', '-c', '1', '-W', '5', OUTSIDE);
    for (const address of [OUTSIDE, '10.0.2.2']) {
      const send = `echo hello | nc -u -w 2 ${address} ${HTTP_PORT + 5}`;
      assert.equal(await inside('sh', '-c', send), 'hello\n', `UDP, ${address}`);
    }
  });

  it('closes the loopback with --disable-host-loopback, and nothing else', async () => {
    await start({}, '-c', '--disable-host-loopback', `${target.pid}`, 'tap0');
    assert.equal(await fetch(`http://${OUTSIDE}:${HTTP_PORT}/bytes/${MIB}`), `${MIB}`);
    await assert.rejects(
      fetch(`http://10.0.2.2:${HTTP_PORT}/bytes/${MIB}`),
      /Failed to connect|refused/,
    );
    await inside('ping', '-c', '1', '-W', '5', '10.0.2.2');
  });

  it('answers names at .3', async () => {
    await start({}, '-c', `${target.pid}`, 'tap0');
    const dig = ['dig', '+short', '+time=5', '@10.0.2.3'];
    assert.equal((await inside(...dig, 'host.hawser.internal')).trim(), '10.0.2.2');
    assert.equal((await inside(...dig, '+tcp', 'gateway.hawser.internal')).trim(), '10.0.2.2');
  });

  it('answers no names with --disable-dns', async () => {
    await start({}, '-c', '--disable-dns', '--disable-host-loopback', `${target.pid}`, 'tap0');
    await assert.rejects(inside('dig', '+time=1', '+tries=1', '@10.0.2.2', 'host.hawser.internal'));
  });

  it('has IPv6 with -6: fd00::2 is the host, fd00::3 answers names', async () => {
    await start({}, '-c', '-6', `${target.pid}`, 'tap0');
    await until('an address', async () =>
      /inet6 fd00::[\da-f:]+\/\d+ scope global (?!.*tentative)/.test(
        await inside('ip', '-6', 'addr', 'show', 'tap0'),
      ),
    );
    assert.equal(await fetch(`http://[fd00::2]:${HTTP_PORT}/bytes/${MIB}`), `${MIB}`);
    const dig = ['dig', '+short', '+time=5', '@fd00::3', 'AAAA'];
    assert.equal((await inside(...dig, 'host.hawser.internal')).trim(), 'fd00::2');
  });

  it('takes another network', async () => {
    await start({}, '-c', '--cidr', '10.77.0.0/16', `${target.pid}`, 'tap0');
    assert.match(await inside('ip', 'addr'), /inet 10\.77\.0\.100\/16/);
    assert.equal(await fetch(`http://10.77.0.2:${HTTP_PORT}/bytes/${MIB}`), `${MIB}`);
  });

  it('enters namespaces by their paths', async () => {
    const ns = `/proc/${target.pid}/ns`;
    await start({}, '-c', `--userns-path=${ns}/user`, '--netns-type=path', `${ns}/net`, 'tap0');
    assert.equal(await fetch(`http://${OUTSIDE}:${HTTP_PORT}/bytes/${MIB}`), `${MIB}`);
  });

  it('connections to other hosts come from the address that is asked for', async () => {
    await succeed(['ip', '-n', lab.host.name, 'addr', 'add', `${SECOND}/24`, 'dev', 'up0']);
    await start({}, '-c', '--outbound-addr', SECOND, `${target.pid}`, 'tap0');
    for (const [protocol, listen, send] of [
      ['TCP', '-lvk', '-N'],
      ['UDP', '-luv', '-u'],
    ] as const) {
      const server = lab.outside.start(['nc', '-n', listen, '9100']);
      await until(`${protocol} at the other host`, async () => {
        await inside('sh', '-c', `echo hello | nc ${send} -w 1 ${OUTSIDE} 9100 || true`);
        return server.stdout.includes('hello');
      });
      assert.match(server.stderr, new RegExp(`received on ${SECOND.replaceAll('.', '\\.')} `));
      await server.stop();
    }
    assert.equal(await fetch(`http://10.0.2.2:${HTTP_PORT}/bytes/${MIB}`), `${MIB}`);
  });

  it("hawser's own commands see it, where the launcher's environment says so", async () => {
    const env = ['HAWSER_API=on'];
    await start({ env }, '-c', '--enable-sandbox', '-e', `${EXIT_FD}`, `${target.pid}`, 'tap0');
    await inside('ping', '-c', '1', '-W', '5', '10.0.2.2');
    const name = `slirp4netns-${slirp.pid}`;
    const status = await user.run('hawser', 'status', '--name', name);
    assert.match(status, /10\.0\.2\.100/);
    assert.equal(await slirp.stop('SIGTERM'), 0);
    assert.deepEqual(await user.run('ls', `${user.runtimeDir}/hawser`).catch(() => ''), '');
  });

  it('takes a TAP that is open', async () => {
    const netns = `/proc/${target.pid}/ns/net`;
    const posix = loadPosix();
    const { fd } = posix.openTap({ name: 'tap0', netns, vnetHdr: false, mtu: 1_500 });
    await start({ more: [fd] }, '--enable-sandbox', '--netns-type=tapfd', '5');
    posix.close(fd);
    await configureInside();
    assert.equal(await fetch(`http://${OUTSIDE}:${HTTP_PORT}/bytes/${MIB}`), `${MIB}`);
  });

  it('serves User Mode Linux over a BESS socket', async () => {
    const path = `${user.dir}/home/bess.sock`;
    await start({}, '--target-type=bess', path);
    const guest = await lab.addGuest({ bridgeTo: path, messages: { kind: 'bess' } });
    await guest.plug();
    await guest.run('ip', 'addr', 'add', '10.0.2.100/24', 'dev', 'eth0');
    await guest.run('ip', 'route', 'add', 'default', 'via', '10.0.2.2');
    const url = `http://${OUTSIDE}:${HTTP_PORT}/bytes/${MIB}`;
    const size = await guest.run('curl', '-sS', '-o', '/dev/null', '-w', '%{size_download}', url);
    assert.equal(size, `${MIB}`);
  });

  it('publishes ports by its API', async () => {
    const path = `${user.runtimeDir}/slirp.sock`;
    const reached = user.runtimeFile('slirp.sock');
    await start({}, '-c', '--api-socket', path, `${target.pid}`, 'tap0');
    const server = user.start([
      ...['nsenter', '-t', `${target.pid}`, '-U', '--preserve-credentials', '-n', '--'],
      ...['nc', '-lk', '-p', '80'],
    ]);
    const ask = async (execute: string, args: object): Promise<unknown> =>
      JSON.parse(await request(reached, JSON.stringify({ execute, arguments: args })));
    const add = { proto: 'tcp', host_addr: '127.0.0.1', host_port: 18_080, guest_port: 80 };
    assert.deepEqual(await ask('add_hostfwd', add), { return: { id: 1 } });
    const send = (): Promise<string> =>
      user.run('sh', '-c', 'echo hello | nc -N -w 5 127.0.0.1 18080');
    await send();
    await until('the bytes to arrive', () => server.stdout.includes('hello'));
    assert.deepEqual(await ask('remove_hostfwd', { id: 1 }), { return: {} });
    await assert.rejects(send());
    await server.stop();
    const udp = { ...add, proto: 'udp', host_port: 18_053, guest_port: 53 };
    assert.deepEqual(await ask('add_hostfwd', udp), { return: { id: 2 } });
    const receiver = user.start([
      ...['nsenter', '-t', `${target.pid}`, '-U', '--preserve-credentials', '-n', '--'],
      ...['nc', '-nluv', '53'],
    ]);
    await receiver.prints(/Bound on/);
    await until('a datagram to arrive', async () => {
      await user.run('sh', '-c', 'echo hello | nc -u -w 1 127.0.0.1 18053');
      return receiver.stdout.includes('hello');
    });
    assert.match(receiver.stderr, /received on 10\.0\.2\.2 /, 'the host, to the guest');
    await receiver.stop();
  });

  /** Requests of the guest to the host, and of a launcher to the API, by their kind: how many are sent and answered. */
  async function requests(program: string): Promise<Readonly<Record<string, Requests>>> {
    await start({ program }, '-c', '-a', `${user.runtimeDir}/count.sock`, `${target.pid}`, 'tap0');
    const bench = async (...args: readonly string[]): Promise<Requests> => {
      const [mode = '', ...more] = args;
      const argv = [tool('netbench'), mode, '10.0.2.2', `${ECHO_PORT}`, '1', ...more];
      const { n, failed } = JSON.parse(await inside(...argv));
      return { sent: n + failed, answered: n };
    };
    const ping = await inside('ping', '-q', '-c', '100', '-i', '0.01', '-W', '5', '10.0.2.2');
    const [, sent, answered] = /(\d+) packets transmitted, (\d+) received/.exec(ping) ?? [];
    const counts = {
      'TCP, one connection': await bench('rr'),
      'TCP, 32 connections at once': await bench('crr', '32'),
      UDP: await bench('udprr'),
      ping: { sent: Number(sent), answered: Number(answered) },
      API: await apiRequests(user.runtimeFile('count.sock')),
    };
    await slirp.stop('SIGTERM');
    return counts;
  }

  itNeeding('answers all requests, as slirp4netns does', ['slirp4netns'], async () => {
    const server = lab.host.start([tool('netbench'), 'srv', `${ECHO_PORT}`]);
    await until('netbench to listen', async () =>
      (await lab.host.run('ss', '-Hltn', `sport = :${ECHO_PORT}`)).includes('LISTEN'),
    );
    const theirs = await requests(onPath('slirp4netns') ?? '');
    const ours = await requests('slirp4netns');
    await server.stop();
    const shown = JSON.stringify({ ours, theirs });
    for (const [kind, { sent, answered }] of Object.entries(ours)) {
      assert.ok(answered > 0 && (theirs[kind]?.answered ?? 0) > 0, shown);
      assert.equal(answered, sent, `${kind}: ${shown}`);
    }
  });

  it('ends with the other end of --exit-fd, and its socket with it', async () => {
    const path = `${user.runtimeDir}/exit.sock`;
    await start({}, '-c', '-e', `${EXIT_FD}`, '-a', path, `${target.pid}`, 'tap0');
    const exit = slirp.child.stdio[EXIT_FD];
    assert.ok(exit !== null && exit !== undefined && 'destroy' in exit);
    exit.destroy();
    assert.equal(await slirp.exited, 0, slirp.stderr);
    await assert.rejects(request(user.runtimeFile('exit.sock'), '{}'), /ENOENT/);
  });

  for (const sandbox of ['--enable-sandbox', '--enable-seccomp']) {
    it(`serves with ${sandbox} too, and publishes`, async () => {
      const path = `${user.runtimeDir}/sandboxed.sock`;
      const args = ['-c', '-6', sandbox, '-e', `${EXIT_FD}`, '-a', path];
      await start({}, ...args, `${target.pid}`, 'tap0');
      assert.equal(await fetch(`http://${OUTSIDE}:${HTTP_PORT}/bytes/${MIB}`), `${MIB}`);
      const list = JSON.parse(
        await request(user.runtimeFile('sandboxed.sock'), '{"execute": "list_hostfwd"}'),
      );
      assert.deepEqual(list, { return: { entries: [] }, entries: [] });
    });
  }

  for (const sandbox of ['on', 'off']) {
    it(`hawser run makes TAPs in the user's namespaces too, with --sandbox ${sandbox}`, async () => {
      const link = `tap:eth0@/proc/${target.pid}/ns/net`;
      const own = ['--api', `unix:${user.runtimeDir}/api.sock`, '--sandbox', sandbox];
      const daemon = user.start(['hawser', 'run', '--listen', link, '--ready-fd', '1', ...own]);
      await daemon.prints(/"ready":true/);
      await inside('ip', 'addr', 'add', '192.168.127.9/24', 'dev', 'eth0');
      await inside('ip', 'route', 'add', 'default', 'via', '192.168.127.1');
      assert.equal(await fetch(`http://${OUTSIDE}:${HTTP_PORT}/bytes/${MIB}`), `${MIB}`);
      assert.equal(await daemon.stop('SIGTERM'), 0);
    });
  }

  it('says what is wrong, with status 1 as slirp4netns does', async () => {
    const netns = `/proc/${target.pid}/ns/net`;
    const cases: readonly [readonly string[], RegExp][] = [
      [[`${target.pid}`], /two operands are needed/],
      [['-c', '1', 'tap0'], /cannot open network namespace \/proc\/1\/ns\/net: EACCES/],
      [
        ['--netns-type=path', '/nonexistent', 'tap0'],
        /cannot open network namespace \/nonexistent: ENOENT/,
      ],
      [['-m', '100', `${target.pid}`, 'tap0'], /--mtu 100: must be an integer from 576/],
      [
        ['--outbound-addr=nowhere0', `${target.pid}`, 'tap0'],
        /--outbound-addr nowhere0: no interface of that name/,
      ],
      [
        ['--userns-path=/nonexistent', '--netns-type=path', netns, 'tap0'],
        /cannot open user namespace \/nonexistent: ENOENT/,
      ],
    ];
    for (const [args, message] of cases) {
      const { status, stderr } = await user.try('slirp4netns', ...args);
      assert.equal(status, 1, args.join(' '));
      assert.match(stderr, message);
    }
    const userns = ['--userns-path=/nonexistent', '--netns-type=path', netns, 'tap0'];
    const { status, stderr } = await lab.host.try('timeout', '10', PROGRAM, ...userns);
    assert.equal(status, 1, 'as root, who could do without');
    assert.match(stderr, /cannot open user namespace \/nonexistent: ENOENT/);
  });
});

interface Requests {
  readonly sent: number;
  readonly answered: number;
}

/** Ports are added, listed and removed, in turn, some in vain. */
async function apiRequests(path: string): Promise<Requests> {
  let answered = 0;
  const ask = async (execute: string, args: object): Promise<void> => {
    const answer: unknown = JSON.parse(
      await request(path, JSON.stringify({ execute, arguments: args })),
    );
    assert.ok(typeof answer === 'object' && answer !== null);
    if ('return' in answer || 'error' in answer) answered++;
  };
  const PORTS = 50;
  for (let i = 1; i <= PORTS; i++) {
    const ports = { host_port: 19_000 + i, guest_port: 80 };
    await ask('add_hostfwd', {
      proto: i % 2 === 0 ? 'tcp' : 'udp',
      host_addr: '127.0.0.1',
      ...ports,
    });
    await ask('list_hostfwd', {});
    await ask('remove_hostfwd', { id: i % 5 === 0 ? 9_999 : i });
  }
  return { sent: 3 * PORTS, answered };
}

/** Whether the process has a user namespace of its own, and with it a network. */
const isApart = (pid: number): boolean => {
  try {
    return readlinkSync(`/proc/${pid}/ns/user`) !== readlinkSync(`/proc/${process.pid}/ns/user`);
  } catch {
    return false;
  }
};

/** One request, and its answer. */
function request(path: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(path, () => socket.end(text));
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });
}

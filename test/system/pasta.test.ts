/** `hawser-pasta`, as podman 5 and RootlessKit start it, by an ordinary user. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { LAB, systemSuite } from '../support/requirements.ts';
import { addIpv6, HOST6_OUTER, OUTSIDE6 } from './support/ipv6.ts';
import { HOST_OUTER, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';
import { type Background, type CommandResult, succeed } from './support/processes.ts';
import { RootlessUser } from './support/rootless.ts';
import { until } from './support/until.ts';

const BYTES = 100_000_000;
const PORT = 18_080;
/** Of servers of IPv6. */
const PORT6 = 8_600;
const [DNS, HOST] = ['169.254.1.1', '169.254.1.2'];

systemSuite('pasta', [...LAB, 'ipv6', 'userns', 'curl', 'dig', 'ping', 'nc'], function () {
  this.timeout(120_000);
  let lab: Lab;
  let user: RootlessUser;
  /** Holds podman's user and mount namespaces. */
  let podman: Background;
  let netns: string;
  let pidFile: string;

  before(async () => {
    lab = await Lab.open();
    await lab.startServers(lab.host);
    await lab.startServers(lab.outside);
    user = await RootlessUser.open(lab, { pasta: 'hawser-pasta.js', hawser: 'hawser.js' });
  });
  after(async () => await lab?.close());
  beforeEach(async () => {
    netns = `${user.runtimeDir}/container`;
    pidFile = `${user.dir}/home/pasta.pid`;
    const make = 'touch "$0" && unshare --net="$0" true && echo made && exec sleep infinity';
    const apart = ['unshare', '--user', '--map-root-user', '--mount', '--propagation', 'private'];
    podman = user.start([...apart, 'sh', '-c', make, netns]);
    await podman.prints(/made/);
  });
  afterEach(async () => {
    if (existsSync(pidFile)) process.kill(pid());
    await until('pasta to be gone', () => !existsSync(pidFile));
    await podman.stop();
    await user.run('rm', '-f', netns);
  });

  const pid = (): number => Number(readFileSync(pidFile, 'utf8'));
  /** In podman's namespaces. */
  const asPodman = (...argv: string[]): Promise<CommandResult> =>
    user.try('nsenter', '-t', `${podman.pid}`, '-U', '--preserve-credentials', '-m', '--', ...argv);
  const enter = (...argv: string[]): string[] => [
    ...['nsenter', '-t', `${podman.pid}`, '-U', '--preserve-credentials', '-m', '--'],
    ...['nsenter', `--net=${netns}`, '--', ...argv],
  ];
  const inside = (...argv: string[]): Promise<string> => user.run(...enter(...argv));
  const fetch = (host: string, bytes = BYTES, port: number = HTTP_PORT): Promise<string> =>
    inside(
      ...['curl', '-sS', '--max-time', '30', '-o', '/dev/null', '-w', '%{size_download}'],
      `http://${host}:${port}/bytes/${bytes}`,
    );

  /** As `libnetwork/pasta` of podman 5 does: `more` are the user's options, and those of ports. */
  async function setUp(...more: string[]): Promise<void> {
    const none = (protocol: string): string[] =>
      more.includes(protocol) ? [] : [protocol, 'none'];
    const { status, stdout, stderr } = await asPodman(
      ...['pasta', '--config-net', '--pid', pidFile, ...more, '--dns-forward', DNS],
      ...[...none('-t'), ...none('-u'), '-T', 'none', '-U', 'none', '--no-map-gw', '--quiet'],
      ...['--netns', netns, '--map-guest-addr', HOST],
    );
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
  }

  it('is ready when it returns: address, route and MTU are there, and it downloads', async () => {
    await setUp();
    const addresses = await inside('ip', '-o', '-4', 'addr', 'show');
    assert.match(addresses, /inet 10\.0\.2\.100\/24 /);
    assert.match(await inside('ip', '-o', 'link', 'show'), /UP,LOWER_UP> mtu 65520/);
    assert.match(await inside('ip', 'route'), /default via 10\.0\.2\.2 /);
    assert.equal(await fetch(OUTSIDE), `${BYTES}`);
    await inside('ping', '-c', '1', '-W', '5', OUTSIDE);
  });

  it('answers names at the address that podman writes to resolv.conf', async () => {
    await setUp();
    const dig = ['dig', '+short', '+time=5', `@${DNS}`, 'host.hawser.internal'];
    assert.equal((await inside(...dig)).trim(), HOST);
    assert.equal((await inside(...dig, '+tcp')).trim(), HOST);
  });

  it("leads to the host's own address, and not to its loopback", async () => {
    await setUp();
    const local = lab.host.start(['nc', '-lk', '127.0.0.1', '9100']);
    assert.equal(await fetch(HOST), `${BYTES}`);
    assert.equal(await fetch(HOST_OUTER, 1_000), '1000');
    await inside('ping', '-c', '1', '-W', '5', HOST);
    const send = `echo hello | nc -u -w 2 ${HOST} ${HTTP_PORT + 5}`;
    assert.equal(await inside('sh', '-c', send), 'hello\n', 'UDP');
    for (const address of [HOST, '10.0.2.2']) {
      await assert.rejects(inside('nc', '-z', '-w', '5', address, '9100'), address);
    }
    await local.stop();
  });

  it("follows the host's own address, of a host that comes up later and elsewhere", async () => {
    const uplink = (...words: string[]): Promise<string> =>
      succeed(['ip', '-n', lab.host.name, ...words]);
    const online = async (address: string): Promise<void> => {
      await uplink('addr', 'flush', 'dev', 'up0');
      await uplink('addr', 'add', `${address}/24`, 'dev', 'up0');
      await uplink('link', 'set', 'up0', 'up');
      await uplink('route', 'replace', 'default', 'via', OUTSIDE);
    };
    await uplink('link', 'set', 'up0', 'down');
    try {
      await setUp();
      await assert.rejects(fetch(HOST, 1_000));
      for (const address of ['198.18.0.11', HOST_OUTER]) {
        await online(address);
        await until(
          `the host to be ${address}`,
          async () => (await fetch(HOST, 1_000).catch(() => '')) === '1000',
        );
      }
    } finally {
      await online(HOST_OUTER);
    }
  });

  it('publishes ports of TCP and UDP', async () => {
    await setUp('-t', `127.0.0.1/${PORT}-${PORT}:80-80`, '-u', `${PORT}-${PORT + 1}:53-54`);
    const server = user.start(enter('nc', '-lk', '-p', '80'));
    await until('the bytes to arrive', async () => {
      await user.try('sh', '-c', `echo hello | nc -N -w 5 127.0.0.1 ${PORT}`);
      return server.stdout.includes('hello');
    });
    await server.stop();
    const receiver = user.start(enter('nc', '-nluv', '54'));
    await receiver.prints(/Bound on/);
    await until('a datagram to arrive', async () => {
      await user.run('sh', '-c', `echo hello | nc -u -w 1 127.0.0.1 ${PORT + 1}`);
      return receiver.stdout.includes('hello');
    });
    await receiver.stop();
  });

  it('ends when the namespace is removed', async () => {
    await setUp();
    const running = pid();
    assert.match(readlinkSync(`/proc/${running}/exe`), /node/);
    assert.equal((await asPodman('umount', '-l', netns)).status, 0);
    assert.equal((await asPodman('rm', netns)).status, 0);
    await until('it to end', () => !existsSync(`/proc/${running}`) && !existsSync(pidFile));
  });

  it('serves a process as RootlessKit starts it', async () => {
    const child = user.start([
      'unshare',
      '--user',
      '--map-root-user',
      '--net',
      'sleep',
      'infinity',
    ]);
    await until('the namespaces to be there', async () => {
      const where = (of: number): string => readlinkSync(`/proc/${of}/ns/net`);
      return child.isRunning && where(child.pid) !== where(podman.pid);
    });
    const { status, stderr } = await user.try(
      ...['pasta', '--stderr', '--ns-ifname=tap0', '--mtu=65520', '--config-net'],
      ...['--address=10.0.2.100', '--netmask=24', '--gateway=10.0.2.2', '--dns-forward=10.0.2.3'],
      ...['--no-map-gw', '--ipv4-only', '--tcp-ports=none', '--udp-ports=none', '--pid', pidFile],
      `${child.pid}`,
    );
    assert.equal(status, 0, stderr);
    const ns = ['nsenter', '-t', `${child.pid}`, '-U', '--preserve-credentials', '-n', '--'];
    const url = `http://${OUTSIDE}:${HTTP_PORT}/bytes/${BYTES}`;
    const get = ['curl', '-sS', '-o', '/dev/null', '-w', '%{size_download}', url];
    assert.equal(await user.run(...ns, ...get), `${BYTES}`);
    const dig = ['dig', '+short', '+time=5', '@10.0.2.3', 'gateway.hawser.internal'];
    assert.equal((await user.run(...ns, ...dig)).trim(), '10.0.2.2');
    await child.stop();
    await until('it to end with the process', () => !existsSync(pidFile));
  });

  it("hawser's own commands see it, where the launcher's environment says so", async () => {
    const { status, stderr } = await asPodman(
      ...['env', 'HAWSER_API=on', 'pasta', '--config-net', '-q', '-P', pidFile, '--netns', netns],
    );
    assert.equal(status, 0, stderr);
    await inside('ping', '-c', '1', '-W', '5', '10.0.2.2');
    const { stdout } = await asPodman('hawser', 'status', '--name', `pasta-${pid()}`);
    assert.match(stdout, /10\.0\.2\.100/);
  });

  it('has IPv6 where the host has it: an address, a way, names; its ports have both families', async () => {
    await addIpv6(lab);
    for (const where of [lab.host, lab.outside]) await lab.startServers(where, '::', PORT6);
    await setUp('-t', `${PORT}:80`, '-u', `${PORT}:53`);
    await until('an address that may be used', async () => {
      const shown = await inside('ip', '-6', '-o', 'addr', 'show', 'scope', 'global');
      return /inet6 [\da-f:]+\/\d+ scope global (?!.*tentative)/.test(shown);
    });
    assert.match(await inside('ip', '-6', 'route'), /^default via fe80:/m);
    assert.equal(await fetch(`[${OUTSIDE6}]`, BYTES, PORT6), `${BYTES}`);
    assert.equal(await fetch(`[${HOST6_OUTER}]`, 1_000, PORT6), '1000');
    await inside('ping', '-6', '-c', '1', '-W', '5', OUTSIDE6);
    const dig = ['dig', '+short', '+time=5', `@${DNS}`];
    assert.match(await inside(...dig, 'AAAA', 'gateway.hawser.internal'), /^f[\da-f:]+\n$/);
    const server = user.start(enter('nc', '-nlkv', '80'));
    await server.prints(/Listening/);
    for (const [from, to] of [
      [lab.host, '::1'],
      [lab.host, '127.0.0.1'],
      [lab.outside, HOST6_OUTER],
    ] as const) {
      await from.run('sh', '-c', `echo to ${to} | nc -N -w 5 ${to} ${PORT}`);
      await server.prints(new RegExp(`^to ${to}$`, 'm'));
    }
    await server.stop();
    const only6 = user.start(enter('nc', '-6nlkv', '80'));
    await only6.prints(/Listening/);
    await lab.outside.run('sh', '-c', `echo by IPv6 | nc -N -w 5 ${HOST6_OUTER} ${PORT}`);
    await only6.prints(/^by IPv6$/m);
    assert.match(only6.stderr, new RegExp(`received on ${OUTSIDE6} `), 'the client, to the guest');
    await only6.stop();
    const datagrams = user.start(enter('nc', '-6nluv', '53'));
    await datagrams.prints(/Bound on/);
    await until('a datagram to arrive', async () => {
      await lab.outside.run('sh', '-c', `echo hello | nc -u -w 1 ${HOST6_OUTER} ${PORT}`);
      return datagrams.stdout.includes('hello');
    });
    assert.match(datagrams.stderr, new RegExp(`received on ${OUTSIDE6} `));
    await datagrams.stop();
  });

  it('ports lead to an interface that was there already, or has another Ethernet address since', async () => {
    await user.run(...enter('ip', 'tuntap', 'add', 'eth0', 'mode', 'tap'));
    await setUp('-t', `${PORT}:80`);
    const server = user.start(enter('nc', '-nlkv', '80'));
    await server.prints(/Listening/);
    const reach = async (word: string): Promise<void> => {
      await until(`${word} to arrive`, async () => {
        await user.try('sh', '-c', `echo ${word} | nc -N -w 2 127.0.0.1 ${PORT}`);
        return server.stdout.includes(word);
      });
    };
    await reach('first');
    await inside('ip', 'link', 'set', 'eth0', 'address', '52:54:00:00:00:99');
    await reach('second');
    assert.equal(await fetch(OUTSIDE), `${BYTES}`);
    await server.stop();
  });

  it('says what is wrong, with status 1', async () => {
    const taken = lab.host.start(['nc', '-lk', '127.0.0.1', `${PORT}`]);
    await until('the port to be taken', async () => {
      return (await lab.host.try('nc', '-z', '127.0.0.1', `${PORT}`)).status === 0;
    });
    const cases: readonly [readonly string[], RegExp][] = [
      [['--netns', '/nonexistent'], /cannot open network namespace \/nonexistent: ENOENT/],
      [['--netns', netns, '--outbound-if4', 'nowhere0'], /no interface of that name/],
      [['--netns', netns, '--userns', '/nonexistent'], /cannot open user namespace \/nonexistent/],
      [['--netns', netns, '--nonsense'], /unrecognized option '--nonsense'/],
      [
        ['--netns', netns, '-t', `127.0.0.1/${PORT}`],
        /something on the host listens there already/,
      ],
      [
        ['--netns', netns, '-a', '10.0.2.9', '-g', '10.0.2.9'],
        /^hawser-pasta: --address 10\.0\.2\.9/,
      ],
      [['--netns', netns, '-t', '8080-8081:80-85'], /^hawser-pasta: --tcp-ports 8080-8081:80-85: /],
    ];
    for (const [args, message] of cases) {
      const { status, stderr } = await asPodman('pasta', '--config-net', ...args);
      assert.equal(status, 1, args.join(' '));
      assert.match(stderr, message);
    }
    await taken.stop();
  });
});

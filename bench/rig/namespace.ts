/** A network namespace, with the settings that all measurements share. */
import { execFileSync, spawnSync } from 'node:child_process';

const SETTINGS: Readonly<Record<string, string>> = {
  'net.ipv4.tcp_rmem': '4096 131072 6291456',
  'net.ipv4.tcp_wmem': '4096 16384 4194304',
  'net.ipv4.ip_local_port_range': '10240 65000',
  'net.ipv4.tcp_max_tw_buckets': '4096',
  'net.ipv4.tcp_tw_reuse': '1',
  'net.ipv4.ping_group_range': '0 2147483647',
  'net.ipv6.conf.all.disable_ipv6': '1',
  'net.ipv6.conf.default.disable_ipv6': '1',
  'net.core.somaxconn': '4096',
};

/** @throws with what the program said */
function execute(argv: readonly string[], input = ''): string {
  const [program = '', ...args] = argv;
  return execFileSync(program, args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
}

export class Namespace {
  readonly name: string;
  readonly path: string;

  constructor(name: string) {
    this.name = name;
    this.path = `/run/netns/${name}`;
  }

  create(): void {
    execute(['ip', 'netns', 'add', this.name]);
    this.ip('link set lo up');
    const settings = Object.entries(SETTINGS).map(([key, value]) => `${key}=${value}`);
    // Without IPv6 in the kernel some of these are unknown: the rest is set all the same.
    execute(this.enter(['sysctl', '-q', '-e', '-w', ...settings]));
  }

  /** @returns which is used, `wanted` where the kernel lets us choose it */
  useCongestionControl(wanted: string): string {
    const key = 'net.ipv4.tcp_congestion_control';
    const set = this.enter(['sysctl', '-q', '-w', `${key}=${wanted}`]);
    spawnSync(set[0] ?? '', set.slice(1), { stdio: 'ignore' });
    return execute(this.enter(['sysctl', '-n', key])).trim();
  }

  /** It is off where only IPv4 is measured. */
  enableIpv6(): void {
    const settings = ['all', 'default'].map((of) => `net.ipv6.conf.${of}.disable_ipv6=0`);
    execute(this.enter(['sysctl', '-q', '-w', ...settings]));
  }

  /** Commands of `ip`, all by one process. */
  ip(...commands: readonly string[]): void {
    execute(['ip', '-n', this.name, '-b', '-'], `${commands.join('\n')}\n`);
  }

  enter(argv: readonly string[]): readonly string[] {
    return ['nsenter', `--net=${this.path}`, '--', ...argv];
  }

  remove(): void {
    // In a session of its own: a terminal's Ctrl-C is for all in ours.
    const options = { stdio: 'ignore', detached: true } as const;
    spawnSync('ip', ['netns', 'del', this.name], options);
  }
}

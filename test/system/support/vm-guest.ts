/** A virtual machine whose card is a `vhost-user:` link, and whose shell is behind a published port. */
import { withLibraries } from '../../../src/lab/vm/program-files.ts';
import { startVm, type VmHandle } from '../../../src/lab/vm/start-vm.ts';
import { leaseStep, type VmStep } from '../../../src/lab/vm/vm-steps.ts';
import type { Requirement } from '../../support/requirements.ts';
import type { Lab } from './lab.ts';
import { until } from './until.ts';

/** Of this machine; what else commands use is busybox's. */
const PROGRAMS = ['bash', 'nc', 'ip', 'ss', 'ethtool', 'ping'] as const;
export const VM_GUEST: readonly Requirement[] = ['vm', ...PROGRAMS];

const SHELL_PORT = 23;
const MEMORY_MIB = 256;
const SHELL_MS = 60_000;

const { name: LEASE, script: lease } = leaseStep();
/** However long the guest is not served. */
const leasesStep: VmStep = { name: LEASE, script: `until (${lease}); do :; done\n` };

/** Each connection is a script, and what that prints, with its status as the last line. */
const shellStep = (name: string): VmStep => ({
  name: 'shell',
  script: `hostname ${name}
ln -s /proc/self/fd /dev/fd
cat >/tmp/shell <<'END'
#!/bin/sh
script=$(cat)
PATH=/usr/sbin:/usr/bin:/sbin:/bin bash -c "$script" 2>&1
echo "status=$?"
END
chmod +x /tmp/shell
exec nc -ll -p ${SHELL_PORT} -e /tmp/shell
`,
});

export interface VmGuestOptions {
  /** False: its card leaves no checksum and no segmentation to either end. */
  readonly offloads?: boolean;
  readonly mac?: string;
}

export class VmGuest {
  /** Its host name. */
  readonly name: string;
  readonly link: string;
  readonly mac: string;
  /** For the daemon: the port leads to whoever has its Ethernet address. */
  readonly publish: readonly string[];
  private readonly lab: Lab;
  private readonly socket: string;
  private readonly port: number;
  private readonly offloads: boolean;
  private vm: VmHandle | undefined;

  /** @param number of the lab's own, from 1 to 9 */
  constructor(lab: Lab, number: number, options: VmGuestOptions = {}) {
    const { offloads = true, mac = `52:54:00:68:78:0${number}` } = options;
    this.lab = lab;
    this.name = `vm-${number}`;
    this.socket = lab.path(`vhost-${number}.sock`);
    this.link = `vhost-user:${this.socket}`;
    this.mac = mac;
    this.port = 18_400 + number;
    this.offloads = offloads;
    this.publish = ['-p', `127.0.0.1:${this.port}:${this.mac}:${SHELL_PORT}`];
  }

  /** Boot it, and wait for its shell. */
  async plug(): Promise<void> {
    await this.boot();
    await this.leased();
    await until(
      'its shell',
      async () => (await this.run('hostname')) === `${this.name}\n`,
      SHELL_MS,
    );
  }

  async boot(): Promise<void> {
    const { socket, mac, offloads, name } = this;
    this.vm = startVm({
      ...{ link: socket, mode: 'vhost-user', mac, offloads, memoryMiB: MEMORY_MIB },
      steps: [leasesStep, shellStep(name)],
      extras: { modules: [], files: withLibraries(PROGRAMS) },
    });
    await this.step('boot');
  }

  leased(): Promise<void> {
    return this.step(LEASE);
  }

  private async step(name: string): Promise<void> {
    if (this.vm === undefined) throw new Error('not booted');
    for await (const { step } of this.vm.results) if (step === name) return;
    throw new Error((await this.vm.ended).tail.join('\n'));
  }

  /** Run to the end. @throws when it fails. @returns stdout and stderr */
  async run(...argv: string[]): Promise<string> {
    const script = argv.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
    const ask = `printf %s "$0" | nc -N 127.0.0.1 ${this.port}`;
    const said = await this.lab.host.run('sh', '-c', ask, script);
    const [, output = '', status = ''] = /^(.*)status=(\d+)\n$/s.exec(said) ?? [];
    if (status === '0') return output;
    throw new Error(`${script}: status ${status}: ${said}`);
  }

  async close(): Promise<void> {
    this.vm?.kill();
    await this.vm?.ended;
  }
}

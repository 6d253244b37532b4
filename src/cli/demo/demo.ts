/**
 * `hawser demo`: the daemon in this process, a guest, and a self-check that moves real bytes in both
 * directions. Then, unless `once`, it stays up for the user's own QEMU.
 */
import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import { type FileServer, startFileServerThread } from '../../lab/file-server-worker.ts';
import type { EmbeddedGuest, GuestAcceptor } from '../../lab/guest/embedded-guest.ts';
import { asTransfer, runGuestCommand } from '../../lab/guest/run-guest-command.ts';
import { openGuest } from '../../lab/open-guest.ts';
import type { Ipv6Plan, StepPlan } from '../../lab/step-plan.ts';
import { netdevArgs, type VmHandle } from '../../lab/vm/start-vm.ts';
import { isDirectoryGone } from '../../native/current-directory.ts';
import type { DaemonNetwork, OpenNetwork } from '../../network/daemon-network.ts';
import { EXIT_FAILURE, messageOf } from '../../network/errors.ts';
import { packageVersion } from '../../network/version.ts';
import { parseLinkSpec } from '../../transports/link-spec.ts';
import { GRACE_MS, runDaemon } from '../daemon.ts';
import type { DaemonConfig } from '../daemon-config.ts';
import type { DemoRequest } from '../demo-request.ts';
import { END_SIGNALS } from '../early-signals.ts';
import { createLog } from '../log.ts';
import { instanceDir, realPlace } from '../runtime-dir.ts';
import { StderrSink } from '../stderr-sink.ts';
import { JsonDisplay, LineDisplay, type Screen } from './display.ts';
import { runGuestSteps } from './guest-steps.ts';
import { checkLoopback } from './loopback-check.ts';
import { MUX_PORT, type PublishingHost } from './published-steps.ts';
import { StepRunner } from './step-runner.ts';
import { checkVm } from './vm-check.ts';

export interface DemoOptions extends DemoRequest {
  /** Of each transfer; 256 by default. */
  readonly sizeMiB?: number;
  /** Print the report of each step as a line of JSON. */
  readonly json?: boolean;
  /** Called first, when signals end the demo in order. */
  readonly prepare?: () => void;
}

export interface DemoDeps {
  readonly openNetwork: OpenNetwork;
  /** Makes the guest where no namespace is allowed. */
  readonly simulate?: () => EmbeddedGuest;
}

const DEFAULT_SIZE_MIB = 256;
const SEED = 20_260_127;
const SIGNALS = [...END_SIGNALS, 'SIGHUP'] as const;

/**
 * @param deps what tests replace
 * @returns the exit status: 0, or 1 when a step failed
 * @throws VmUnavailableError, GuestUnavailableError, or what the daemon's start throws
 */
export async function runDemo(options: DemoOptions, deps?: DemoDeps): Promise<number> {
  const demo = new Demo(options, deps ?? (await realDeps()));
  return await demo.run();
}

async function realDeps(): Promise<DemoDeps> {
  const { openNetwork } = await import('../../network/network.ts');
  const { simulate } = await import('../../lab/guest/simulated-guest.ts');
  return { openNetwork, simulate };
}

const screen: Screen = {
  isTerminal: process.stdout.isTTY === true,
  write: (text) => {
    process.stdout.write(text);
  },
};

class Demo {
  private readonly options: DemoOptions;
  private readonly deps: DemoDeps;
  /** Stands between the process and the daemon, so that the demo can end it too. */
  private readonly events = new EventEmitter();
  /** Of a QEMU machine: ours with `vm`, the user's afterwards. */
  private readonly socket: string;
  private guest: EmbeddedGuest | undefined;
  private vm: VmHandle | undefined;
  private files: FileServer | undefined;
  private readonly ended = new AbortController();
  private status: number;

  constructor(options: DemoOptions, deps: DemoDeps) {
    this.options = options;
    this.deps = deps;
    this.status = options.once ? EXIT_FAILURE : 0;
    const { listen, name } = options.options;
    const [unix] = listen.flatMap((text) => {
      const link = parseLinkSpec(text);
      return link.scheme === 'qemu' && 'path' in link.address ? [link.address.path] : [];
    });
    this.socket = unix ?? join(instanceDir(realPlace(), name), 'qemu.sock');
  }

  async run(): Promise<number> {
    const forward = SIGNALS.map((signal) => [signal, () => this.onSignal()] as const);
    for (const [signal, listener] of forward) process.on(signal, listener);
    const onExit = (): void => {
      this.events.emit('exit');
      this.vm?.kill();
    };
    process.on('exit', onExit);
    try {
      this.options.prepare?.();
      return await this.serve();
    } finally {
      this.vm?.kill();
      await this.guest?.close();
      await this.files?.close();
      for (const [signal, listener] of forward) process.off(signal, listener);
      process.off('exit', onExit);
    }
  }

  private async serve(): Promise<number> {
    if (isDirectoryGone()) process.chdir('/'); // threads of Node do not start without one
    this.files = await startFileServerThread('127.0.0.1', 0);
    await checkLoopback(this.files.port);
    const { options } = this.options;
    const listen = new Set([...options.listen, `qemu:${this.socket}`]);
    if (!this.options.vm) {
      const { guest, notes } = await openGuest(this.deps.simulate);
      this.guest = guest;
      for (const note of notes) this.say(`note: ${note}\n`);
      if (guest.link !== undefined) listen.add(guest.link);
    }
    // The screen belongs to the steps: only what is wrong is logged, unless more was asked for.
    const level = options.log.level === 'info' ? 'warn' : options.log.level;
    const config: DaemonConfig = {
      ...options,
      listen: [...listen],
      mux: { ...options.mux, links: [...new Set([...options.mux.links, `guest:${MUX_PORT}`])] },
      log: { ...options.log, level },
    };
    const log = await createLog(config.log, new StderrSink());
    if (this.ended.signal.aborted) return this.status; // the daemon did not listen for the signal yet
    await runDaemon(config, {
      openNetwork: this.deps.openNetwork,
      log,
      version: packageVersion(),
      events: this.events,
      graceMs: GRACE_MS,
      offered: [this.files.port],
      exit: (status) => process.exit(status || this.status),
      onReady: (network) => this.onReady(network, config),
    });
    return this.status;
  }

  private onReady(network: DaemonNetwork, config: DaemonConfig): void {
    this.check(network, config)
      .catch((error: unknown) => {
        process.stderr.write(`hawser demo: ${messageOf(error)}\n`);
        this.status = EXIT_FAILURE;
        this.end();
      })
      .finally(() => {
        if (this.options.once) this.end();
      });
  }

  private end(): void {
    if (!this.ended.signal.aborted) this.onSignal();
  }

  /** A second one ends the daemon at once. */
  private onSignal(): void {
    this.ended.abort();
    this.events.emit('SIGTERM');
  }

  private async check(network: DaemonNetwork, config: DaemonConfig): Promise<void> {
    const plan: StepPlan = {
      gateway: config.gateway,
      hostIp: config.hostIp ?? '',
      ipv6: ipv6Of(network),
      port: this.files?.port ?? 0,
      sizeBytes: (this.options.sizeMiB ?? DEFAULT_SIZE_MIB) * 1024 * 1024,
      seed: SEED,
    };
    const runner = new StepRunner(this.display());
    const host: PublishingHost = {
      ports: network.ports,
      muxLinks: () => network.view.mux(),
      fetch: async (url, onProgress) => {
        const { signal } = this.ended;
        const args = ['download', url];
        return asTransfer(await runGuestCommand(args, (argv) => argv, signal, onProgress));
      },
    };
    const inGuest = this.options.vm
      ? await this.checkVm(plan, runner, host)
      : await this.checkGuest(network, plan, runner, host);
    if (this.ended.signal.aborted) return;
    const failed = runner.reports.filter(({ ok, skipped }) => !ok && skipped !== true).length;
    const skipped = runner.reports.filter((report) => report.skipped).length;
    if (this.options.once) this.status = failed === 0 ? 0 : EXIT_FAILURE;
    this.summarize(failed, skipped);
    if (!this.options.once) this.explain(plan, inGuest);
  }

  /** @returns the URL on this host of a server in the guest that stays, if there is one */
  private async checkGuest(
    network: DaemonNetwork,
    plan: StepPlan,
    runner: StepRunner,
    host: PublishingHost,
  ): Promise<string | undefined> {
    const { guest } = this;
    if (guest === undefined) return undefined;
    this.say(`guest: ${guest.about}\n`);
    if (guest.link === undefined) {
      if (!isAcceptor(network)) throw new Error('this network takes no packet sockets');
      guest.attach(network);
    }
    return await runGuestSteps(guest, plan, runner, host);
  }

  private async checkVm(plan: StepPlan, runner: StepRunner, host: PublishingHost) {
    this.say('guest: a QEMU virtual machine\n');
    const onStart = (vm: VmHandle): void => {
      this.vm = vm;
    };
    await checkVm({ socket: this.socket, plan, runner, host, onStart });
    return undefined; // it is gone
  }

  private display(): LineDisplay | JsonDisplay {
    return this.options.json ? new JsonDisplay(screen) : new LineDisplay(screen);
  }

  private summarize(failed: number, skipped: number): void {
    const left = skipped === 0 ? '' : `, ${skipped} left out`;
    if (failed > 0) this.say(`${failed} of the steps failed${left}\n`);
    else if (skipped > 0) this.say(`every step that was tried succeeded${left}\n`);
    else this.say('every step succeeded\n');
  }

  private explain(plan: StepPlan, inGuest: string | undefined): void {
    const { name } = this.options.options;
    const netdev = netdevArgs(this.socket, 'connect', '52:54:00:12:34:56').join(' ');
    this.say(
      [
        '',
        'The network stays up. Attach a QEMU machine of yours to it with',
        '',
        `  qemu-system-x86_64 ... ${netdev}`,
        '',
        `In it, ${plan.hostIp} is the loopback of this host: curl http://${plan.hostIp}:${plan.port}/`,
        ...(inGuest === undefined ? [] : [`A server in the guest is ${inGuest}/ on this host.`]),
        `Inspect it: hawser status --name ${name}, hawser flows --name ${name}, hawser ports --name ${name}`,
        'Ctrl-C ends it.',
        '',
      ].join('\n'),
    );
  }

  /** For people only. */
  private say(text: string): void {
    if (!this.options.json) screen.write(text);
  }
}

function ipv6Of(network: DaemonNetwork): Ipv6Plan | undefined {
  const { ipv6 } = network.view.info();
  if (ipv6 === null || ipv6.hostIp === null) return undefined;
  return { gateway: ipv6.gateway, hostIp: ipv6.hostIp };
}

const isAcceptor = (network: object): network is GuestAcceptor => 'attachPacketSocket' in network;

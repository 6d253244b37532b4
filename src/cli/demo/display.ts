/** Three displays of the demo: bars on a terminal, lines elsewhere, JSON lines for programs. */
import { Presets, SingleBar } from 'cli-progress';
import type { StepReport } from '../../lab/step-report.ts';
import type { Display } from './step-runner.ts';

export interface Screen {
  readonly isTerminal: boolean;
  write(text: string): void;
}

const LABELS: Readonly<Record<string, string>> = {
  boot: 'boot a kernel',
  lease: 'lease by DHCP',
  resolve: 'resolve a name',
  'ping-gateway': 'ping the gateway',
  'ping-host': 'ping the host',
  download: 'download',
  upload: 'upload',
  'address-ipv6': 'IPv6 address',
  'resolve-ipv6': 'resolve, IPv6',
  'ping-gateway-ipv6': 'ping gateway, IPv6',
  'ping-host-ipv6': 'ping host, IPv6',
  'download-ipv6': 'download, IPv6',
  'mux-up': 'multiplexer up',
  publish: 'publish a port',
  'fetch-port': 'fetch by the port',
  'fetch-mux': 'fetch by the mux',
  'fetch-ipv6': 'fetch, IPv6',
};
const LABEL_CHARS = 18;
const FIGURE_CHARS = 20;
const BAR_CHARS = 30;
const MEGA = 1e6;

const label = (step: string): string => (LABELS[step] ?? step).padEnd(LABEL_CHARS);

/** `258 ms`, or `1834 ms, 146 MB/s`. */
export function figure({ ms, bytes }: StepReport): string {
  const time = ms < 10 ? `${ms.toFixed(2)} ms` : `${Math.round(ms)} ms`;
  return bytes === undefined ? time : `${time}, ${Math.round(bytes / MEGA / (ms / 1000))} MB/s`;
}

/** `  ok   download           1834 ms, 146 MB/s    sha256 … equal` */
export function reportLine(report: StepReport): string {
  const mark = report.ok ? 'ok  ' : report.skipped ? '--  ' : 'FAIL';
  const said = report.skipped ? '' : figure(report);
  return `  ${mark} ${label(report.step)} ${said.padEnd(FIGURE_CHARS)} ${report.detail}\n`;
}

export class LineDisplay implements Display {
  private readonly screen: Screen;
  private bar: SingleBar | undefined;

  constructor(screen: Screen) {
    this.screen = screen;
  }

  begin(step: string, totalBytes: number): void {
    if (!this.screen.isTerminal) return;
    if (totalBytes === 0) {
      this.screen.write(`  ...  ${label(step)}`);
      return;
    }
    this.bar = new SingleBar(
      {
        format: `  ...  ${label(step)} {bar} {percentage}% {value}/{total} MB`,
        barsize: BAR_CHARS,
        clearOnComplete: true,
        hideCursor: true,
      },
      Presets.shades_classic,
    );
    this.bar.start(Math.round(totalBytes / MEGA), 0);
  }

  progress(bytes: number): void {
    this.bar?.update(Math.round(bytes / MEGA));
  }

  end(report: StepReport): void {
    this.bar?.stop();
    this.bar = undefined;
    this.screen.write(`${this.screen.isTerminal ? '\r\x1b[K' : ''}${reportLine(report)}`);
  }
}

export class JsonDisplay implements Display {
  private readonly screen: Screen;

  constructor(screen: Screen) {
    this.screen = screen;
  }

  begin(): void {}

  progress(): void {}

  end(report: StepReport): void {
    this.screen.write(`${JSON.stringify(report)}\n`);
  }
}

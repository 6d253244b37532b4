/** A `hawser run` under test: a process of its own, looked into through its control API. */
import { get } from 'node:http';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { Background, residentBytes } from './processes.ts';

const MAIN = fileURLToPath(new URL('../../../bin/hawser.js', import.meta.url));
const READY_FD = 3;
/** `HAWSER_TEST_SANDBOX=strict`: all that the suite tries is tried in a daemon that has given up everything it can. */
const { HAWSER_TEST_SANDBOX: mode } = process.env;
const SANDBOX = mode === undefined ? [] : ['--sandbox', mode];

export interface Ready {
  readonly ready: true;
  readonly pid: number;
  readonly links: readonly string[];
  readonly api: string;
}

export interface Flow {
  readonly protocol: string;
  readonly guestPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly bytesToHost: number;
  readonly bytesToGuest: number;
}

const ReadyLine: z.ZodType<Ready> = z.object({
  ready: z.literal(true),
  pid: z.number(),
  links: z.array(z.string()),
  api: z.string(),
});
const Flows: z.ZodType<{ readonly flows: readonly Flow[] }> = z.object({
  flows: z.array(
    z.object({
      protocol: z.string(),
      guestPort: z.number(),
      remoteAddress: z.string(),
      remotePort: z.number(),
      bytesToHost: z.number(),
      bytesToGuest: z.number(),
    }),
  ),
});
export class Daemon extends Background {
  private readonly api: string;
  private readonly readiness: Promise<Ready>;

  /** @param runtimeDir where instance `default` keeps its sockets */
  constructor(argv: readonly string[], env: Readonly<Record<string, string>>, runtimeDir: string) {
    super(argv, { env, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
    this.api = `${runtimeDir}/default/api.sock`;
    this.readiness = this.readReady();
    this.readiness.catch(() => {}); // reported by ready()
  }

  static command(args: readonly string[]): readonly string[] {
    const log = args.includes('--log-level') ? [] : ['--log-level', 'warn'];
    const sandbox = args.includes('--sandbox') ? [] : SANDBOX;
    const options = ['--ready-fd', String(READY_FD), ...log, ...sandbox];
    return [process.execPath, MAIN, 'run', ...options, ...args];
  }

  private async readReady(): Promise<Ready> {
    const pipe = this.child.stdio[READY_FD];
    if (pipe === null || pipe === undefined || !('setEncoding' in pipe)) {
      throw new Error('no readiness pipe');
    }
    let text = '';
    pipe.setEncoding('utf8');
    for await (const chunk of pipe) text += chunk;
    if (text === '') throw new Error(`hawser run ended before it was ready: ${await this.said()}`);
    return ReadyLine.parse(JSON.parse(text));
  }

  private async said(): Promise<string> {
    const status = await this.exited;
    return `status ${status}: ${this.stderr.slice(-1500)}`;
  }

  ready(): Promise<Ready> {
    return this.readiness;
  }

  get residentBytes(): number {
    return residentBytes(this.pid);
  }

  /** GET a path of the control API. */
  request(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const request = get({ socketPath: this.api, path, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => {
          if (response.statusCode === 200) resolve(text);
          else reject(new Error(`${path}: ${response.statusCode} ${text}`));
        });
      });
      request.once('error', reject);
    });
  }

  async flows(): Promise<readonly Flow[]> {
    return Flows.parse(JSON.parse(await this.request('/v1/flows?limit=10000'))).flows;
  }

  /** The TCP flow to this port; undefined when there is none. */
  async flowTo(remotePort: number): Promise<Flow | undefined> {
    const flows = await this.flows();
    return flows.find((flow) => flow.protocol === 'tcp' && flow.remotePort === remotePort);
  }
}

/** iperf3, one server for each run. */
import { z } from 'zod';
import type { Lab } from './lab.ts';
import type { Namespace } from './namespace.ts';
import { listensNear } from './proc.ts';
import { waitFor } from './wait.ts';

const EXTRA_MS = 12_000;

const Report = z.object({
  error: z.string().optional(),
  end: z
    .object({
      sum_received: z.object({ bytes: z.number(), bits_per_second: z.number() }).optional(),
      sum: z
        .object({
          seconds: z.number(),
          packets: z.number().optional(),
          lost_packets: z.number().optional(),
          lost_percent: z.number().optional(),
        })
        .optional(),
    })
    .optional(),
});

export interface IperfRequest {
  readonly server: Namespace;
  readonly client: Namespace;
  readonly target: string;
  readonly port: number;
  readonly seconds: number;
  readonly args: readonly string[];
}

export interface IperfResult {
  readonly receivedBytes: number;
  readonly bitsPerSecond: number;
  readonly seconds: number;
  /** UDP: sent and lost, as the receiver counted them. */
  readonly packets: number;
  readonly lostPackets: number;
}

/** @throws Error with what iperf3 said */
export async function iperf(lab: Lab, request: IperfRequest): Promise<IperfResult> {
  const { client, seconds, target, args } = request;
  const port = String(request.port);
  const server = lab.start(request.server, ['iperf3', '-s', '-1', '-p', port]);
  try {
    await waitFor('iperf3 to listen', () => listensNear(server.pid, request.port));
    const options = ['-J', '-c', target, '-p', port, '-t', String(seconds)];
    const argv = ['iperf3', ...options, '--connect-timeout', '3000', ...args];
    const running = lab.start(client, argv);
    if (!(await running.finish(seconds * 1000 + EXTRA_MS))) throw new Error('iperf3 hung');
    const { error, end } = Report.parse(JSON.parse(running.stdout));
    if (error !== undefined) throw new Error(`iperf3: ${error}`);
    return {
      receivedBytes: end?.sum_received?.bytes ?? 0,
      bitsPerSecond: end?.sum_received?.bits_per_second ?? 0,
      seconds: end?.sum?.seconds ?? seconds,
      packets: end?.sum?.packets ?? 0,
      lostPackets: end?.sum?.lost_packets ?? 0,
    };
  } finally {
    await server.stop();
  }
}

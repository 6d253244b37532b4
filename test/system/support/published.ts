import { z } from 'zod';
import type { Daemon } from './daemon.ts';

const Ports = z.object({
  ports: z.array(
    z.object({
      protocol: z.string(),
      hostAddress: z.string(),
      hostPort: z.number(),
      via: z.string(),
    }),
  ),
});

/** What the daemon has published: `0.0.0.0 8080/tcp`, in order. @param via only by this way */
export async function published(daemon: Daemon, via?: 'net' | 'mux'): Promise<string[]> {
  return Ports.parse(JSON.parse(await daemon.request('/v1/ports')))
    .ports.filter((port) => via === undefined || port.via === via)
    .map(({ protocol, hostAddress, hostPort }) => `${hostAddress} ${hostPort}/${protocol}`)
    .sort();
}

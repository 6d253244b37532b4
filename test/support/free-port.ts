import { once } from 'node:events';
import { createServer } from 'node:net';

/** A TCP port where nobody listens, at least now. */
export async function freePort(): Promise<number> {
  const port = await listeningOn(0);
  if (port === undefined) throw new Error('no port is free');
  return port;
}

/** As {@link freePort}, and one that only the privileged may bind: by chance, so that runs side by side differ. */
export async function freePrivilegedPort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = await listeningOn(256 + Math.floor(Math.random() * 768));
    if (port !== undefined) return port;
  }
  throw new Error('no port below 1024 is free');
}

/** @returns the first of so many in a row, each as {@link freePort} */
export async function freePorts(count: number): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const first = await freePort();
    const others = Array.from({ length: count - 1 }, (_, i) => listeningOn(first + 1 + i));
    if ((await Promise.all(others)).every((port) => port !== undefined)) return first;
  }
  throw new Error(`no ${count} ports in a row are free`);
}

async function listeningOn(port: number): Promise<number | undefined> {
  const server = createServer().listen(port, '0.0.0.0');
  try {
    await once(server, 'listening');
  } catch {
    return undefined;
  }
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' ? address?.port : undefined;
}

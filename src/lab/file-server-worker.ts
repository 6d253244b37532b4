/** Runs {@link startFileServer} in a thread of its own, so that it takes no time from the stack. */
import { once } from 'node:events';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { distFile } from '../network/own-files.ts';
import { startFileServer } from './file-server.ts';

interface Start {
  readonly address: string;
  readonly port: number;
}

export interface FileServer {
  readonly port: number;
  close(): Promise<void>;
}

export async function startFileServerThread(address: string, port: number): Promise<FileServer> {
  const start: Start = { address, port };
  const worker = new Worker(distFile('bin/file-server-worker.js'), { workerData: start });
  const [bound] = await once(worker, 'message');
  if (typeof bound !== 'number') throw new Error(`the file server did not start: ${bound}`);
  return {
    port: bound,
    close: async () => {
      await worker.terminate();
    },
  };
}

const isStart = (value: unknown): value is Start =>
  typeof value === 'object' && value !== null && 'address' in value && 'port' in value;

if (parentPort !== null && isStart(workerData)) {
  const port = parentPort;
  startFileServer(workerData.address, workerData.port).then(
    (server) => {
      const address = server.address();
      port.postMessage(typeof address === 'object' && address !== null ? address.port : address);
    },
    (error: unknown) => port.postMessage(String(error)),
  );
}

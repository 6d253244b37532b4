/** The ports of one container engine, published on the host for as long as the agent runs. */
import { existsSync } from 'node:fs';
import type { Log } from '../../../base/log.ts';
import { Publications, type PublicationsDeps } from '../publications.ts';
import { EngineWatch } from './engine-watch.ts';
import { publishedPorts } from './published-ports.ts';

export interface ContainerPorts {
  close(): void;
}

const [DOCKER, ...OTHERS] = ['/var/run/docker.sock', '/run/podman/podman.sock'] as const;
/** Each is a connection to the host. */
const PORTS_MAX = 1_000;

/**
 * @param path the engine's Unix socket; '' is the one at a known place
 * @param connect to the host's guest API
 */
export function watchContainers(
  path: string,
  connect: PublicationsDeps['connect'],
  log: Log,
): ContainerPorts {
  const found = [DOCKER, ...OTHERS].find((known) => existsSync(known)) ?? DOCKER;
  const publications = new Publications({ log, source: 'containers', connect });
  const watch = new EngineWatch({
    log,
    path: path === '' ? found : path,
    onList: (containers) => {
      const { ports, leftOut } = publishedPorts(containers, PORTS_MAX);
      publications.reconcile(ports, leftOut);
    },
  });
  watch.start();
  const close = (): void => {
    watch.close();
    publications.close();
  };
  return { close };
}

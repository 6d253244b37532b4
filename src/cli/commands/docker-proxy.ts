/** `hawser docker-proxy`: the same as the program `hawser-docker-proxy`, which starts faster. */
import { runDockerProxy } from '../docker-proxy/run.ts';

/** @returns the exit status */
export const dockerProxyCommand = (argv: readonly string[]): Promise<number> =>
  runDockerProxy(argv);

/**
 * hawser's own control API beside the dialect of a drop-in, whose command line has no place for it: the launcher's
 * environment says `HAWSER_API=on`. The instance is named after the program and its process id: `hawser status --name
 * slirp4netns-4711`. Off by default: most launchers end their helpers by SIGKILL, which leaves a socket behind.
 */
import type { DaemonConfig } from '../daemon-config.ts';

const VARIABLE = 'HAWSER_API';

export const withOwnApi = (config: DaemonConfig, env: NodeJS.ProcessEnv): DaemonConfig =>
  env[VARIABLE] === 'on' ? config : { ...config, api: { kind: 'none' } };

/**
 * hawser's own control API beside the dialect of a drop-in, whose command line has no place for it: the launcher's
 * environment says `HAWSER_API=on`. The instance is named after the program and its process id: `hawser status --name
 * slirp4netns-4711`. Off by default: most launchers end their helpers by SIGKILL, which leaves a socket behind.
 */
import type { StandIn } from '../config.ts';
import type { GivenWords } from '../given-words.ts';

const VARIABLE = 'HAWSER_API';

export const hasOwnApi = (env: NodeJS.ProcessEnv): boolean => env[VARIABLE] === 'on';

/** @param words of the options of its command line */
export const standIn = (words: GivenWords, hasApi: boolean): StandIn => ({
  words: { ...words, api: `the socket of ${VARIABLE}=on, in XDG_RUNTIME_DIR,` },
  hasApi,
});

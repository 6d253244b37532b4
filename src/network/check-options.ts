/** The library's options: checked like those of the command line, with error messages for programs. */
import { isRecord } from './call-arguments.ts';
import type { NetworkConfig } from './config.ts';
import {
  addressProblems,
  auditProblems,
  configuredFiles,
  configuredSockets,
  effectiveConfig,
  ipv6Problems,
  linkProblems,
  pathProblems,
} from './effective-config.ts';
import { modeProblems } from './guest-separation.ts';
import { NETWORK_SCHEMAS, type NetworkSettings } from './network-settings.ts';
import { OptionsError, optionSentence, printable } from './option-problem.ts';
import { checkSettings } from './option-schema.ts';
import type { NetworkOptions } from './options.ts';
import { staticLeaseProblems } from './static-leases.ts';

/** @throws OptionsError that lists everything that is wrong */
export function checkOptions(options: NetworkOptions): NetworkConfig {
  if (!isRecord(options)) {
    throw new OptionsError([`options must be an object, got ${printable(options, true)}`]);
  }
  const checked = checkSettings<NetworkSettings>(options, NETWORK_SCHEMAS);
  if ('problems' in checked) throw new OptionsError(checked.problems.map(optionSentence));
  const config = effectiveConfig(checked.settings);
  const problems = [
    ...addressProblems(config),
    ...ipv6Problems(config),
    ...staticLeaseProblems(config),
    ...auditProblems(config),
    ...linkProblems(config),
    ...modeProblems(config.separation),
    ...pathProblems([...configuredSockets(config), ...configuredFiles(config)]),
  ];
  if (problems.length === 0) return config;
  const isGiven = (key: string): boolean => key in checked.settings;
  throw new OptionsError(
    problems.map((problem) => {
      const { key } = problem;
      return optionSentence(isGiven(key) ? problem : { ...problem, key: `${key} (default)` });
    }),
  );
}

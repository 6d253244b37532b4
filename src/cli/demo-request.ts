import type { DaemonConfig } from './daemon-config.ts';

/** What `runDemo` of `demo/demo.ts` takes; it returns the exit status. */
export interface DemoRequest {
  /** End after the self-check, by its result. */
  readonly once: boolean;
  /** Use a QEMU VM as the guest. */
  readonly vm: boolean;
  /** Effective options of the network, as for `hawser run`. */
  readonly options: DaemonConfig;
  /** Whether any `--listen` was given; else the demo decides where guests attach. */
  readonly hasListen: boolean;
}

/** The interface of the port table to publications that lead through the guest's SSH server. */
import type { HostStream } from '../../native/stream/host-stream.ts';
import type { GuestTarget } from './publication-guest.ts';
import type { UnixSpec } from './publish-spec.ts';

export interface SshCarrier {
  /** @throws PublishError when the key cannot be used */
  open(publication: string, spec: UnixSpec, guest: GuestTarget): Promise<SshRoute>;
}

export interface SshRoute {
  /**
   * Serve a client as soon as the guest's SSH server does.
   *
   * @param onEnd called once, when the stream has ended
   * @returns false when too many clients wait: nothing was started, and `onEnd` is not called
   */
  serve(stream: HostStream, onEnd: () => void): boolean;
  /** The publication is withdrawn. Clients that are served go on. */
  release(): void;
}

/** Where a flow's last packet was sent: decided when the destination changes, not per packet. */
import { KEY_REMOTE } from '../../base/flow-key.ts';
import { addressFromWords, type IpAddress } from '../../base/ip-address.ts';
import { type HostTarget, hostTarget, NO_TARGET } from './host-target.ts';

export class TargetCache {
  port = 0;
  private readonly words: Int32Array = new Int32Array(4);
  private target: HostTarget = NO_TARGET;
  private isValid = false;

  /** Of the last packet. */
  get current(): HostTarget {
    return this.target;
  }

  get remote(): IpAddress {
    return addressFromWords(this.words, 0);
  }

  /** @returns undefined when the destination is another than the last one */
  lookup(key: Int32Array, port: number): HostTarget | undefined {
    const words = this.words;
    return this.isValid &&
      port === this.port &&
      words[3] === key[KEY_REMOTE + 3] &&
      words[2] === key[KEY_REMOTE + 2] &&
      words[1] === key[KEY_REMOTE + 1] &&
      words[0] === key[KEY_REMOTE]
      ? this.target
      : undefined;
  }

  /** `remote`, as the guest knows it, has sent something from `port`: where that is the destination, it takes what it gets. */
  answers(remote: IpAddress, port: number): void {
    const { target } = this;
    if (target.joinsShort || port !== this.port) return;
    target.joinsShort = this.remote.equals(remote);
  }

  /** Whether short datagrams to a host's `address` and `port` may have been passed to the kernel as one. */
  isJoined(address: string, port: number): boolean {
    const { target } = this;
    return target.joinsShort && target.port === port && target.address === address;
  }

  /** Have the next packet's destination decided on again. */
  clear(): void {
    this.isValid = false;
  }

  /**
   * @param address that stands for the destination of `key`
   * @param addressPort that stands for `port`
   * @param joinsShort of the target, until it {@link answers}
   */
  set(
    key: Int32Array,
    port: number,
    address: string,
    addressPort: number = port,
    joinsShort: boolean = true,
  ): HostTarget {
    for (let i = 0; i < 4; i++) this.words[i] = key[KEY_REMOTE + i] ?? 0;
    this.port = port;
    this.isValid = true;
    this.target = hostTarget(address, addressPort);
    this.target.joinsShort = joinsShort;
    return this.target;
  }
}

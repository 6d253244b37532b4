/**
 * `vhost-user:PATH`: QEMU connects, and we serve the guest's network card.
 *
 *     qemu-system-x86_64 -object memory-backend-memfd,id=mem,size=1G,share=on -machine pc,memory-backend=mem \
 *       -m 1G -chardev socket,id=c,path=PATH,reconnect=1 -netdev vhost-user,id=n,chardev=c \
 *       -device virtio-net-pci,netdev=n
 *
 * One machine at a time. When QEMU exits, the next one may connect; when we exit, QEMU connects again
 * with `reconnect=1`.
 */
import { loadPosix } from '../../native/load.ts';
import type { LinkContext, OpenLink } from '../link-context.ts';
import type { LinkStats } from '../link-stats.ts';
import { VhostUserServer } from '../vhost-user/server.ts';
import { VhostNetDevice } from './vhost-net-device.ts';

export class VhostNetLink implements OpenLink {
  readonly description: string;
  readonly stats: LinkStats;
  private readonly device: VhostNetDevice;
  private readonly server: VhostUserServer;

  private constructor(description: string, device: VhostNetDevice, server: VhostUserServer) {
    this.description = description;
    this.stats = device.stats;
    this.device = device;
    this.server = server;
  }

  /** @throws NativeUnavailableError, LinkError, LinkInUseError */
  static async open(path: string, context: LinkContext): Promise<VhostNetLink> {
    const description = `vhost-user:${path}`;
    const posix = loadPosix(`open ${description}`, 'use a qemu: link instead');
    const device = new VhostNetDevice(description, context, setImmediate);
    const { log, socketMode, vhostMemory } = context;
    const server = await VhostUserServer.open({
      path,
      socketMode,
      device: device.queues,
      posix,
      log,
      memory: vhostMemory,
    });
    return new VhostNetLink(description, device, server);
  }

  get failure(): string | undefined {
    return this.server.failure;
  }

  async close(): Promise<void> {
    await this.server.close();
    this.device.release();
  }
}

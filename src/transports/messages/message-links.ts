/** The links that came by one listener, each on a message socket of its own. */
import type { Posix } from '../../native/posix.ts';
import type { LinkContext } from '../link-context.ts';
import { LinkStats } from '../link-stats.ts';
import { MessageLink } from './message-link.ts';

export class MessageLinks {
  readonly stats: LinkStats = new LinkStats();
  private readonly listener: string;
  private readonly posix: Posix;
  private readonly context: LinkContext;
  private readonly links = new Set<MessageLink>();
  private serial = 0;

  constructor(listener: string, posix: Posix, context: LinkContext) {
    this.listener = listener;
    this.posix = posix;
    this.context = context;
  }

  /** @param fd it belongs to its link from now on, or is closed where the segment has no room */
  add(fd: number): void {
    const { posix, stats, context, listener } = this;
    const name = `${listener}#${++this.serial}`;
    const onDown = (): void => {
      this.links.delete(link);
    };
    const link = new MessageLink({ posix, fd, name, listener, stats, onDown }, context);
    if (link.start()) this.links.add(link);
  }

  close(): void {
    for (const link of this.links) link.close();
  }
}

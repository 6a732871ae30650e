/** A connection of a connector, as the API shows it. */
export interface TunnelConnection {
  id: string;
  tunnelId: string;
  clientId: string;
  clientVersion: string;
  location: string;
  openedAt: string;
  originIp: string;
  configurationVersion: number;
}

export class TunnelServer {
  connections(_tunnelId: string): TunnelConnection[] {
    return [];
  }

  disconnect(_tunnelId: string, _clientId?: string): void {}

  pushConfiguration(_tunnelId: string): void {}
}

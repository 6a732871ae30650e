/** Where the Pi's alarms arrive: Apprise's own JSON form over plain HTTP, in the place of a phone's push service. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { servicePorts } from "./qemu-arguments.ts";

export interface Alarm {
  title: string;
  message: string;
  /** Apprise's word for how bad it is: "failure", "success". */
  type: string;
}

/** What the owner sets as `alarm`. */
export const alarmAddress = `json://10.0.2.100:${servicePorts.alarms}`;

export interface AlarmReceiver {
  port: number;
  /** Grows as they arrive. */
  alarms: Alarm[];
  close(): Promise<void>;
}

export async function startAlarmReceiver(): Promise<AlarmReceiver> {
  const alarms: Alarm[] = [];
  const server = createServer(async (request, response) => {
    try {
      const { title, message, type } = JSON.parse(await text(request)) as Alarm;
      alarms.push({ title, message, type });
      response.writeHead(200).end();
    } catch (error) {
      response.writeHead(400).end(String(error));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    alarms,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/**
 * Where the Pi's words arrive over plain HTTP: its alarms in Apprise's own JSON form, in the place of a phone's push service, and
 * what it tells the dead man's switch, in the place of a check at healthchecks.io.
 */
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

export interface Ping {
  signal: "start" | "success" | "fail";
  body: string;
  /** Unix time in seconds. */
  at: number;
}

/** What the owner sets as `alarm`. */
export const alarmAddress = `json://10.0.2.100:${servicePorts.alarms}`;
/** What the owner sets as `ping`. */
export const pingAddress = `http://10.0.2.100:${servicePorts.alarms}/check`;

const signals: Record<string, Ping["signal"]> = {
  "/check": "success",
  "/check/start": "start",
  "/check/fail": "fail",
};
const day = 86_400;

/** As the service judges a check with a period of a week and a day of grace: `now` and `at` in seconds of Unix time. */
export function isLate(pings: { signal: string | null; at: number }[], now: number): boolean {
  const last = pings.filter(({ signal }) => signal === "success").at(-1);
  return last === undefined || now - last.at > 8 * day;
}

export interface AlarmReceiver {
  port: number;
  /** Grows as they arrive. */
  alarms: Alarm[];
  /** Grows as they arrive, whether `isDown` or not: it is another service. */
  pings: Ping[];
  /** While true, no alarm is taken (503). */
  isDown: boolean;
  close(): Promise<void>;
}

/** @param now The clock that the pings are noted by. */
export async function startAlarmReceiver(now: () => Date): Promise<AlarmReceiver> {
  const alarms: Alarm[] = [];
  const pings: Ping[] = [];
  const server = createServer(async (request, response) => {
    try {
      const signal = signals[request.url ?? ""];
      if (signal) {
        pings.push({ signal, body: await text(request), at: now().getTime() / 1000 });
        response.writeHead(200).end();
        return;
      }
      if (receiver.isDown) {
        response.writeHead(503).end();
        return;
      }
      const { title, message, type } = JSON.parse(await text(request)) as Alarm;
      alarms.push({ title, message, type });
      response.writeHead(200).end();
    } catch (error) {
      response.writeHead(400).end(String(error));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const receiver: AlarmReceiver = {
    port: (server.address() as AddressInfo).port,
    alarms,
    pings,
    isDown: false,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return receiver;
}

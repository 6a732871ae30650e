import { faultWalk } from "./fault-walk.ts";

faultWalk("every second");

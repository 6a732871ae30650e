import { faultWalk } from "./fault-walk.ts";

faultWalk("one reading");

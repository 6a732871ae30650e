import { faultWalk } from "../rehearsal/edge/fault-walk.ts";
import { takeoverWalk } from "../rehearsal/edge/takeover-walk.ts";

faultWalk("every");
takeoverWalk("every");

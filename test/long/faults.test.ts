import { faultWalk } from "../rehearsal/edge/fault-walk.ts";

faultWalk("every");

import { story } from "../../rehearsal/story/story.ts";
import { storyOfAHouse } from "../story-of-a-house.ts";

const title =
  "The whole story of a house in an account of before October 2026, whose phones get cookies";
storyOfAHouse(title, story.length, "older");

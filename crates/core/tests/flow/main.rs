//! Stories of bookings that flow through one task: what arrives, what HealthFlow is asked, what it answers, and
//! what is committed. The shipped processor, by hand and in virtual time: every test says each thing that happens.

mod builders;
mod desk;

mod answers;
mod bad_input;
mod budget;
mod by_hand;
mod clocks;
mod crowd;
mod crash_loops;
mod deadlines;
mod decisions;
mod doubts;
mod fairness;
mod forgetting;
mod held;
mod held_contents;
mod limits;
mod limits_told;
mod links;
mod lost_records;
mod looks;
mod many_versions;
mod near_twins;
mod new_people;
mod offsets;
mod outages;
mod pauses;
mod placeholders;
mod reading;
mod redrive;
mod repair;
mod refusals;
mod rejected_charts;
mod retries;
mod scenarios;
mod sent_along;
mod search_mode;
mod slots;
mod stated_limits;
mod steady_load;
mod unlinked;
mod unseen_people;
mod versions;
mod writes;

package retry

import (
	"errors"
	"fmt"
	"time"
)

// reasons say of each outcome but [healed] why the refusal was not mended, in
// words for the user of the client. Where there is a cause, that says more.
var reasons = [outcomes]error{
	refusedAgain:  errors.New("the upstream refused a fresh token too"),
	sameToken:     errors.New("the source of the token gave the refused one again"),
	refreshFailed: errors.New("no other token could be had"),
	bodyTooLarge:  errors.New("the token was replaced, but the body was larger than retry.body_limit and could not be sent again: the next request carries the new token"),
	memoryBudget:  errors.New("the token was replaced, but retry.memory had no room for the body, which could not be sent again: the next request carries the new token"),
	bodyBroken:    errors.New("the token was replaced, but the body broke off and could not be sent again"),
	clientLeft:    errors.New("the client did not wait for another token"),
	resendFailed:  errors.New("the upstream did not answer the request with the new token"),
}

// resting is the reason of [coolingDown].
func resting(until time.Time) error {
	return fmt.Errorf("the upstream refused a fresh token too; another is fetched at %s at the earliest", until.Format(time.TimeOnly))
}

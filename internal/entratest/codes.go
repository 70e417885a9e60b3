package entratest

import (
	"net/http"
	"time"
)

// challenge is the claims challenge that conditional access sends along.
const challenge = `{"access_token":{"capolids":{"essential":true,"values":["4e1b6a3c-6a5c-4d8f-9f5e-000000000000"]}}}`

// knownFailures lists the codes by what they mean for whoever asked. Texts
// are Entra's, with the parts that vary cut or as placeholders.
//
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
func knownFailures() map[int]Failure {
	const grant, interaction, client, request, scope = "invalid_grant", "interaction_required", "invalid_client", "invalid_request", "invalid_scope"
	return map[int]Failure{
		// Somebody has to sign in.
		16000:  {Error: interaction, Description: "Either multiple user identities are available for the current request or selected account is not supported for the scenario."},
		50058:  {Error: "login_required", Description: "A silent sign-in request was sent but no user is signed in."},
		50072:  {Error: interaction, SubError: "basic_action", Description: "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication to access '{resource}'."},
		50074:  {Error: interaction, SubError: "basic_action", Description: "Strong Authentication is required."},
		50076:  {Error: interaction, SubError: "basic_action", Claims: challenge, Description: "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '{resource}'."},
		50078:  {Error: interaction, SubError: "basic_action", Description: "Presented multi-factor authentication has expired due to policies configured by your administrator, you must refresh your multi-factor authentication to access '{resource}'."},
		50079:  {Error: interaction, SubError: "basic_action", Claims: challenge, Description: "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication to access '{resource}'."},
		50132:  {Error: grant, SubError: "bad_token", Description: "The session is not valid due to the following reasons: password expiration or recent password change, SSO Artifact is invalid or expired, session is not fresh enough for application, or a silent sign-in request was sent but the user's session with Azure AD is invalid or has expired."},
		50133:  {Error: grant, SubError: "bad_token", Description: "Session is invalid due to expiration or recent password change."},
		50158:  {Error: interaction, SubError: "basic_action", Claims: challenge, Description: "External security challenge not satisfied. User will be redirected to another page or authentication provider to satisfy additional authentication challenges."},
		50173:  {Error: grant, SubError: "bad_token", Description: "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password."},
		70008:  {Error: grant, SubError: "bad_token", Description: "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource."},
		70043:  {Error: grant, SubError: "token_expired", Description: "The refresh token has expired or is invalid due to sign-in frequency checks by conditional access."},
		700082: {Error: grant, SubError: "bad_token", Description: "The refresh token has expired due to inactivity. The token was inactive for 90.00:00:00."},
		700084: {Error: grant, SubError: "bad_token", Description: "The refresh token was issued to a single page app (SPA), and therefore has a fixed, limited lifetime of 1.00:00:00, which cannot be extended. It is now expired and a new sign in request must be sent by the SPA to the sign in page."},

		// Somebody has to consent.
		65001: {Error: grant, SubError: "consent_required", Description: "The user or administrator has not consented to use the application with ID '{client}'. Send an interactive authorization request for this user and resource."},
		90094: {Error: "consent_required", Description: "An administrator of {tenant} has set a policy that prevents you from granting the application the permissions it is requesting."},

		// Policy forbids it.
		53000: {Error: grant, SubError: "message_only", Description: "Device is not in required device state: unregistered. Conditional Access policy requires a compliant device, and the device is not compliant."},
		53001: {Error: grant, SubError: "message_only", Description: "Device is not in required device state: unregistered. Conditional Access policy requires a domain joined device, and the device is not domain joined."},
		53002: {Error: grant, SubError: "message_only", Description: "The application used is not an approved application for Conditional Access."},
		53003: {Error: grant, SubError: "message_only", Claims: challenge, Description: "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance."},
		53004: {Error: grant, SubError: "message_only", Description: "The user needs to complete the multi-factor authentication registration process before accessing this content."},

		// What an API was called with is nothing to act on behalf of anybody.
		50013:   {Error: grant, Description: "Assertion failed signature validation. [Reason - The key was not found.]"},
		50027:   {Error: request, Description: "JWT token is invalid or malformed."},
		500131:  {Error: grant, Description: "Assertion audience does not match the Client app presenting the assertion. The expected audience is '{client}' or one of the Application Uris of this application with App ID '{client}'. The downstream client must request a token for the expected audience (the application that made the OBO request) and this application should use that token as the assertion."},
		500133:  {Error: grant, Description: "Assertion is not within its valid time range. Ensure that the access token is not expired before using it for user assertion, or request a new token."},
		7000114: {Error: "unauthorized_client", Description: "Application '{client}' is not allowed to make application on-behalf-of calls."},

		// Something is set up wrongly.
		28000:   {Error: scope, Description: "Provided value for the input parameter scope is not valid because it contains more than one resource. Scope {scope} is not valid."},
		50020:   {Error: grant, Description: "User account from identity provider does not exist in tenant '{tenant}' and cannot access the application '{client}' in that tenant."},
		50034:   {Error: grant, Description: "The user account {EUII Hidden} does not exist in the {tenant} directory. To sign into this application, the account must be added to the directory."},
		50049:   {Error: "invalid_instance", Description: "Unknown or invalid instance."},
		50059:   {Error: request, Description: "No tenant-identifying information found in either the request or implied by any provided credentials."},
		50105:   {Error: grant, Description: "Your administrator has configured the application '{client}' to block users unless they are specifically granted ('assigned') access to the application."},
		65002:   {Error: request, Description: "Consent between first party application '{client}' and first party resource '{resource}' must be configured via preauthorization - applications owned and operated by Microsoft must get approval from the API owner before requesting tokens for that API."},
		70000:   {Error: grant, Description: "Provided grant is invalid or malformed."},
		70003:   {Error: "unsupported_grant_type", Description: "The app requested an unsupported grant type."},
		70011:   {Error: scope, Description: "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."},
		90002:   {Error: request, Description: "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."},
		500011:  {Error: "invalid_resource", Description: "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant."},
		500014:  {Error: "invalid_resource", Description: "The service principal for resource '{resource}' is disabled. This indicate that a subscription within the tenant has lapsed, or that the administrator for this tenant has disabled the application, preventing tokens from being issued for it."},
		650053:  {Error: scope, Description: "The application '{client}' asked for scope '{scope}' that doesn't exist on the resource. Contact the app vendor."},
		700016:  {Error: "unauthorized_client", Description: "Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant."},
		900023:  {Error: request, Description: "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain."},
		900144:  {Error: request, Description: "The request body must contain the following parameter: '{parameter}'."},
		9010010: {Error: "invalid_target", Description: "The resource parameter provided in the request doesn't match with the requested scopes."},
		1002012: {Error: scope, Description: "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."},

		// The client's own credential is wrong.
		700021:  {Error: client, Status: http.StatusUnauthorized, Description: "Client assertion application identifier doesn't match 'client_id' parameter. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials."},
		700023:  {Error: client, Status: http.StatusUnauthorized, Description: "Client assertion audience claim does not match Realm issuer. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials."},
		700024:  {Error: client, Status: http.StatusUnauthorized, Description: "Client assertion is not within its valid time range. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials."},
		700027:  {Error: client, Status: http.StatusUnauthorized, Description: "The certificate with identifier used to sign the client assertion is not registered on application '{client}', or the signature is not valid. [Reason - The key was not found.]"},
		700211:  {Error: client, Status: http.StatusUnauthorized, Description: "No matching federated identity record found for presented assertion issuer."},
		700212:  {Error: client, Status: http.StatusUnauthorized, Description: "No matching federated identity record found for presented assertion audience."},
		700213:  {Error: client, Status: http.StatusUnauthorized, Description: "No matching federated identity record found for presented assertion subject."},
		7000215: {Error: client, Status: http.StatusUnauthorized, Description: "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client}'."},
		7000218: {Error: client, Status: http.StatusUnauthorized, Description: "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."},
		7000222: {Error: client, Status: http.StatusUnauthorized, Description: "The provided client secret keys for app '{client}' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds."},

		// It may pass.
		50196: {Error: grant, Description: "The server terminated an operation because it encountered a client request loop. Please contact your app vendor."},
		90033: {Error: "temporarily_unavailable", Status: http.StatusServiceUnavailable, Description: "A transient error has occurred. Please try again."},
		90055: {Error: "temporarily_unavailable", Status: http.StatusTooManyRequests, RetryAfter: 10 * time.Second, Description: "There are too many incoming requests."},

		// A person has not signed in yet, or will not.
		65004: {Error: "access_denied", Description: "User declined to consent to access the app."},
		70016: {Error: "authorization_pending", Description: "OAuth 2.0 device flow error. Authorization is pending. Continue polling."},
		70020: {Error: "expired_token", Description: "The provided value for the input parameter 'device_code' is not valid. This device code has expired."},
	}
}
